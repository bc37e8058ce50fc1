//! The bytes of a request, made once and sent again and again.

use super::url::Url;

/// Parts of a request beside its URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestParts {
    /// Method. The default is GET, or POST with a body.
    pub method: Option<String>,
    /// Header fields as `name: value`, sent in this order. `host` and `content-length` are added
    /// if they are missing.
    pub fields: Vec<String>,
    /// Body, sent as it is.
    pub body: Option<Vec<u8>>,
}

impl RequestParts {
    /// Returns the method, or its default.
    pub fn method(&self) -> &str {
        match (&self.method, &self.body) {
            (Some(method), _) => method,
            (None, None) => "GET",
            (None, Some(_)) => "POST",
        }
    }

    /// Returns head and body as bytes, or a sentence about a part that no server could answer.
    pub fn render(&self, url: &Url) -> Result<Vec<u8>, String> {
        let method = self.method();
        if !is_token(method) {
            return Err(format!(
                "'{method}' is not a method: letters, digits and a few signs only"
            ));
        }
        if method == "CONNECT" {
            return Err("CONNECT asks for a tunnel, not for an answer: it can't be loaded".into());
        }
        let body = self.body.as_deref().unwrap_or_default();
        let mut bytes = format!("{method} {} HTTP/1.1\r\n", url.target()).into_bytes();
        let fields = self.fields.iter().map(|field| split_field(field));
        let fields: Vec<(&str, &str)> = fields.collect::<Result<_, _>>()?;
        let has = |wanted: &str| fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted));
        if !has("host") {
            put_field(&mut bytes, "host", url.authority());
        }
        for (name, value) in &fields {
            if name.eq_ignore_ascii_case("content-length") && *value != body.len().to_string() {
                return Err(format!("content-length {value}, but a body of {} bytes", body.len()));
            }
            put_field(&mut bytes, name, value);
        }
        // A body has a length; so has one that a method is expected to have and that is empty
        // (RFC 9110, section 8.6).
        let expected = matches!(method, "POST" | "PUT" | "PATCH");
        let framed = has("content-length") || has("transfer-encoding");
        if !framed && (self.body.is_some() || expected) {
            put_field(&mut bytes, "content-length", &body.len().to_string());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        Ok(bytes)
    }
}

fn put_field(bytes: &mut Vec<u8>, name: &str, value: &str) {
    bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
}

fn split_field(field: &str) -> Result<(&str, &str), String> {
    let split = field.split_once(':').map(|(name, value)| (name, value.trim()));
    split
        .filter(|(name, value)| is_token(name) && !value.bytes().any(is_control))
        .ok_or_else(|| format!("'{field}' is not a header field: write 'name: value'"))
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(method: Option<&str>, fields: &[&str], body: Option<&str>) -> Result<String, String> {
        let parts = RequestParts {
            method: method.map(str::to_owned),
            fields: fields.iter().map(|&field| field.to_owned()).collect(),
            body: body.map(|body| body.as_bytes().to_vec()),
        };
        let bytes = parts.render(&Url::parse("http://host:81/p?q").unwrap())?;
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_get_is_as_short_as_can_be() {
        assert_eq!(render(None, &[], None).unwrap(), "GET /p?q HTTP/1.1\r\nhost: host:81\r\n\r\n");
    }

    #[test]
    fn a_body_has_a_length_and_is_posted() {
        let text = "POST /p?q HTTP/1.1\r\nhost: host:81\r\ncontent-length: 5\r\n\r\nhello";
        assert_eq!(render(None, &[], Some("hello")).unwrap(), text);
        let put = render(Some("PUT"), &[], None).unwrap();
        assert!(put.contains("\r\ncontent-length: 0\r\n"));
        let chunked = render(None, &["Transfer-Encoding: chunked"], Some("0\r\n\r\n")).unwrap();
        assert!(!chunked.contains("content-length"));
    }

    #[test]
    fn fields_replace_what_would_be_added() {
        let text = render(Some("HEAD"), &["Host:other", "x: y:z"], None).unwrap();
        assert_eq!(text, "HEAD /p?q HTTP/1.1\r\nHost: other\r\nx: y:z\r\n\r\n");
        assert!(render(None, &["content-length: 5"], Some("hello")).is_ok());
    }

    #[test]
    fn requests_that_no_server_could_answer_are_refused() {
        assert!(render(Some("G T"), &[], None).unwrap_err().contains("not a method"));
        assert!(render(Some("CONNECT"), &[], None).unwrap_err().contains("tunnel"));
        for field in ["novalue", ": x", "a b: c", "a: b\r\nc: d"] {
            assert!(render(None, &[field], None).unwrap_err().contains("not a header field"));
        }
        let wrong = render(None, &["content-length: 6"], Some("hello"));
        assert_eq!(wrong.unwrap_err(), "content-length 6, but a body of 5 bytes");
    }
}
