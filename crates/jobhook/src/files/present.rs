//! What is already there under the name of a file that comes. Who chose the name is somebody else,
//! so nothing of other contents is ever replaced.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jobhook_protocol::FileMap;

use super::arrival::Digester;
use super::content::on_thread;
use super::part::unwritable;
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

fn look(path: PathBuf, map: &FileMap) -> Result<bool, Error> {
    // A link is something else, wherever it leads.
    let metadata = match fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(unwritable(&path, &error)),
    };
    let may_be = metadata.is_file() && map.size.is_none_or(|size| size == metadata.len());
    if may_be && has_contents(&path, map).map_err(|error| unwritable(&path, &error))? {
        return Ok(true);
    }
    Err(Error::FileExists { path })
}

fn has_contents(path: &Path, map: &FileMap) -> io::Result<bool> {
    let mut file = File::open(path)?;
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

    #[cfg(unix)]
    #[test]
    fn neither_a_directory_nor_a_link_is_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let (path, link) = (directory.path().join("a"), directory.path().join("b"));
        fs::write(&path, "content").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for other in [link.as_path(), directory.path()] {
            let refused = look(other.to_owned(), &map(b"content", false)).unwrap_err();
            assert_eq!(refused.code(), "file_exists");
        }
    }
}
