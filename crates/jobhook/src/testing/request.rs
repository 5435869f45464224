//! HTTP/1.1 as far as a hook needs it: a request with its body, an answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// One request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// One answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Reads the next request of a connection. `None` at its end.
    pub(crate) fn read(from: &mut BufReader<TcpStream>) -> io::Result<Option<Request>> {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace().map(str::to_owned);
        let (Some(method), Some(path)) = (words.next(), words.next()) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => {
                    headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
                }
                None => break,
            }
        }
        let mut request = Request {
            method,
            path,
            headers,
            body: Vec::new(),
        };
        if request.header("transfer-encoding").is_some() {
            request.body = read_chunks(from)?;
            return Ok(Some(request));
        }
        let length = request.header("content-length").unwrap_or("0").parse();
        request.body = vec![0; length.map_err(|_| io::ErrorKind::InvalidData)?];
        from.read_exact(&mut request.body)?;
        Ok(Some(request))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// Every value sent under a name.
    pub(crate) fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let name = name.to_ascii_lowercase();
        self.headers
            .iter()
            .filter(move |(header, _)| *header == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A body that came in chunks (RFC 9112, 7.1).
fn read_chunks(from: &mut BufReader<TcpStream>) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim(), 16);
        let size = size.map_err(|_| io::ErrorKind::InvalidData)?;
        let at = body.len();
        body.resize(at + size, 0);
        from.read_exact(&mut body[at..])?;
        from.read_line(&mut line)?;
        if size == 0 {
            return Ok(body);
        }
    }
}

impl Answer {
    pub(crate) fn json(status: u16, body: String) -> Answer {
        let kind = if status < 400 {
            "application/json"
        } else {
            "application/problem+json"
        };
        Answer {
            status,
            headers: vec![("Content-Type", kind.to_owned())],
            body: body.into_bytes(),
        }
    }

    pub(crate) fn empty(status: u16) -> Answer {
        Answer {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// - `up_to`: so many bytes of the body, though all are announced.
    pub(crate) fn write(&self, to: &mut TcpStream, up_to: usize) -> io::Result<()> {
        let mut text = format!("HTTP/1.1 {} Answer\r\n", self.status);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        // What has no body announces none.
        if self.status != 204 {
            text += &format!("Content-Length: {}\r\n", self.body.len());
        }
        text += "\r\n";
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body[..self.body.len().min(up_to)]);
        to.write_all(&bytes)
    }
}
