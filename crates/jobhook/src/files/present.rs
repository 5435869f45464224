//! What is already there under the name of a file that comes. Who chose the name is somebody else,
//! so nothing of other contents is ever replaced.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jobhook_protocol::FileMap;

use super::arrival::Digester;
use super::content::on_thread;
use super::part::{PartFile, unwritable};
use crate::Error;

/// How much is read at once.
const PIECE: usize = 256 << 10;

/// Whether the very file is at `path`, so that it need not come.
///
/// # Errors
///
/// `file_exists` if something else is.
pub(crate) async fn is_present(path: &Path, map: &FileMap) -> Result<bool, Error> {
    let (path, map) = (path.to_owned(), map.clone());
    on_thread(move || look(path, &map)).await
}

/// Gives what came its name, unless somebody else has. The same file may have come twice at once.
pub(crate) async fn place_new(part: PartFile, to: &Path, map: &FileMap) -> Result<(), Error> {
    let name = to.to_owned();
    match on_thread(move || part.rename_new(&name)).await {
        Err(error @ Error::FileExists { .. }) => match is_present(to, map).await? {
            true => Ok(()),
            // It was there a moment ago.
            false => Err(error),
        },
        other => other,
    }
}

fn look(path: PathBuf, map: &FileMap) -> Result<bool, Error> {
    // A link is something else, wherever it leads.
    let metadata = match fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(unwritable(&path, &error)),
    };
    let may_be = metadata.is_file() && map.size.is_none_or(|size| size == metadata.len());
    // What cannot be read is something else, as far as anybody can tell.
    if may_be && has_contents(&path, map).unwrap_or(false) {
        return Ok(true);
    }
    Err(Error::FileExists { path })
}

fn has_contents(path: &Path, map: &FileMap) -> io::Result<bool> {
    // What it is may have changed since: neither is a link followed nor a pipe waited for.
    let mut file = File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Ok(false);
    }
    let mut digester = Digester::of(map);
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(digester.finish().difference(map).is_none()),
            read => digester.update(&piece[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use jobhook_protocol::{Md5Digester, Sha256Digester, file};

    use super::*;

    fn map(content: &[u8], is_original: bool) -> FileMap {
        let (mut md5, mut sha256) = (Md5Digester::new(), Sha256Digester::new());
        md5.update(content);
        sha256.update(content);
        FileMap {
            hash: md5.finish(),
            mimetype: file::OCTET_STREAM.to_owned(),
            metadata: file::no_metadata(),
            name: None,
            size: (!is_original).then_some(content.len() as u64),
            sha256: (!is_original).then(|| sha256.finish()),
        }
    }

    #[test]
    fn the_same_contents_need_not_come_and_others_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a");
        for is_original in [false, true] {
            let map = map(b"content", is_original);
            let _ = fs::remove_file(&path);
            assert!(!look(path.clone(), &map).unwrap());
            fs::write(&path, "content").unwrap();
            assert!(look(path.clone(), &map).unwrap());
            for other in ["c0ntent", "content and more", ""] {
                fs::write(&path, other).unwrap();
                let refused = look(path.clone(), &map).unwrap_err();
                assert_eq!(refused.code(), "file_exists");
            }
        }
    }

    #[tokio::test]
    async fn the_same_file_may_come_twice_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let to = directory.path().join("a");
        let come = |content: &str| {
            let mut part = PartFile::create(directory.path()).unwrap();
            part.append(content.as_bytes()).unwrap();
            part
        };
        let (one, other, third) = (come("content"), come("content"), come("other"));
        place_new(one, &to, &map(b"content", false)).await.unwrap();
        place_new(other, &to, &map(b"content", false))
            .await
            .unwrap();
        let refused = place_new(third, &to, &map(b"other", false)).await;
        assert_eq!(refused.unwrap_err().code(), "file_exists");
        assert_eq!(fs::read(&to).unwrap(), b"content");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn neither_a_directory_nor_a_link_is_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("a"), directory.path().join("b"));
        fs::write(&path, "content").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for other in [link.as_path(), directory.path()] {
            let refused = look(other.to_owned(), &map(b"content", false)).unwrap_err();
            assert_eq!(refused.code(), "file_exists");
            // Also if it became that after it was looked at.
            assert!(!has_contents(other, &map(b"content", false)).unwrap_or(false));
        }
    }
}
