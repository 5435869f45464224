//! What the addresses of transfers have in common: the token in their query.

use axum::http::Uri;

/// The token that an address carries; empty if there is none, or more than one.
pub(super) fn token_of(uri: &Uri) -> String {
    let pairs = uri.query().unwrap_or_default().split('&');
    let mut tokens = pairs.filter_map(|pair| pair.strip_prefix("token="));
    match (tokens.next(), tokens.next()) {
        (Some(token), None) => token.to_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_carries_one_token() {
        let token = |uri: &str| token_of(&uri.parse().unwrap());
        assert_eq!(token("/async/upload/data?token=a.b"), "a.b");
        assert_eq!(token("/x?content-type=text/html&token=a.b&y"), "a.b");
        for none in [
            "/x",
            "/x?",
            "/x?token=",
            "/x?token=a&token=b",
            "/x?atoken=a",
        ] {
            assert_eq!(token(none), "", "{none}");
        }
    }
}
