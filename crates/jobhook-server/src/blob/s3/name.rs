//! What a blob in a bucket is called: 32 random hexadecimal digits.

use jobhook_engine::blob::{BlobError, BlobName};

/// Sixteen random bytes: no two blobs have the same, whatever their content.
pub(super) fn draw() -> Result<BlobName, BlobError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| BlobError::Unavailable(Box::new(error)))?;
    Ok(BlobName(format!("{:032x}", u128::from_ne_bytes(bytes))))
}

/// Whether a text is such a name.
pub(super) fn is_ours(text: &str) -> bool {
    let digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    text.len() == 32 && text.chars().all(digit)
}
