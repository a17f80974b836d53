//! The little of HTTP/1.1 (RFC 9112) that one page and one form need: a request, a response, then the connection closes.
//!
//! Refuses: requests larger than a form, or slower than a person; keep-alive, chunked bodies and everything else.

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};

const HEAD_MAX: usize = 16 * 1024;
const BODY_MAX: usize = 16 * 1024;

#[derive(Debug, PartialEq)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub body: Vec<u8>,
}

pub struct Response {
    pub status: &'static str,
    pub kind: &'static str,
    /// `Location`, for a redirection.
    pub location: Option<&'static str>,
    pub body: String,
}

pub async fn read(stream: &mut (impl AsyncBufRead + Unpin)) -> Result<Request> {
    let mut head = stream.take(HEAD_MAX as u64);
    let mut line = String::new();
    head.read_line(&mut line).await?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().context("no method")?, words.next().context("no path")?);
    let mut length = 0;
    loop {
        line.clear();
        if head.read_line(&mut line).await? == 0 {
            bail!("the request ends within its head");
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.trim().parse()?,
            Some(_) => {}
            None if line.trim_end().is_empty() => break,
            None => bail!("a header without a colon"),
        }
    }
    if length > BODY_MAX {
        bail!("the body is too large");
    }
    let mut body = vec![0; length];
    head.into_inner().read_exact(&mut body).await?;
    Ok(Request { method, path, body })
}

pub fn print(response: &Response) -> String {
    let location = response.location.map(|to| format!("Location: {to}\r\n")).unwrap_or_default();
    format!(
        "HTTP/1.1 {}\r\nContent-Type: {}; charset=utf-8\r\nContent-Length: {}\r\n{location}Connection: close\r\n\r\n{}",
        response.status,
        response.kind,
        response.body.len(),
        response.body
    )
}

/// The value of a field in `application/x-www-form-urlencoded` text.
pub fn field(body: &[u8], name: &str) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, value) = text.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name)?;
    let mut bytes = value.bytes();
    let mut plain = vec![];
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'+' => b' ',
            b'%' => {
                let pair = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(plain).ok()
}

/// Text as HTML content or attribute value.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn parsed(text: &str) -> Result<Request> {
        read(&mut text.as_bytes()).await
    }

    #[tokio::test]
    async fn a_form_is_read_and_what_is_no_request_is_refused() {
        let request = parsed("POST /todos HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\ntitle=a+b").await.unwrap();
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/todos"));
        assert_eq!(field(&request.body, "title").as_deref(), Some("a b"));
        for bad in ["", "GET\r\n\r\n", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nnonsense\r\n\r\n"] {
            assert!(parsed(bad).await.is_err(), "{bad:?}");
        }
        assert!(parsed("POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n").await.is_err());
        assert!(parsed(&format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(9999))).await.is_err());
    }

    #[test]
    fn fields_are_decoded_and_text_cannot_become_markup() {
        assert_eq!(field(b"x=1&title=caf%C3%A9%26", "title").as_deref(), Some("café&"));
        assert_eq!(field(b"title=%C3", "title"), None);
        assert_eq!(field(b"title=%", "title"), None);
        assert_eq!(field(b"other=1", "title"), None);
        assert_eq!(escape("<b a='\"'>&"), "&lt;b a=&#39;&quot;&#39;&gt;&amp;");
    }
}
