//! Names of images.

/// `image` with the tag `latest` where it has neither a tag nor a digest. What
/// is no image's name stays as it is, for the daemon to refuse.
pub fn tagged(image: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_name = image
        .bytes()
        .all(|byte| plain(byte) || b"._-/:".contains(&byte));
    match is_name && !image.is_empty() && !has_tag(image) {
        true => format!("{image}:latest"),
        false => image.to_owned(),
    }
}

/// A colon behind the last slash is a tag's; one before is a registry's port.
pub fn has_tag(name: &str) -> bool {
    name.rsplit('/')
        .next()
        .is_some_and(|last| last.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_without_a_tag_is_the_latest() {
        for (image, wanted) in [
            ("busybox", "busybox:latest"),
            ("busybox:1", "busybox:1"),
            ("reg:5000/a/b", "reg:5000/a/b:latest"),
            ("reg:5000/a/b:2", "reg:5000/a/b:2"),
            ("busybox@sha256:aa", "busybox@sha256:aa"),
            ("BAD IMAGE", "BAD IMAGE"),
            ("", ""),
        ] {
            assert_eq!(tagged(image), wanted);
        }
    }
}
