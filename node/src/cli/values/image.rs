//! Names of images.

/// `image` as people know it, with the tag `latest` where it has neither a tag
/// nor a digest. What is no image's name stays as it is, for the daemon to
/// refuse.
pub fn tagged(image: &str) -> String {
    let image = without_hub(image);
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_name = image
        .bytes()
        .all(|byte| plain(byte) || b"._-/:".contains(&byte));
    match is_name && !image.is_empty() && !has_tag(image) {
        true => format!("{image}:latest"),
        false => image.to_owned(),
    }
}

/// Without the registry that is meant where none is said.
pub fn without_hub(image: &str) -> &str {
    let name = image
        .strip_prefix("docker.io/")
        .or_else(|| image.strip_prefix("index.docker.io/"))
        .unwrap_or(image);
    match name.strip_prefix("library/") {
        Some(official) if !official.contains('/') => official,
        _ => name,
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
            ("docker.io/library/nginx:1", "nginx:1"),
            ("library/nginx", "nginx:latest"),
            ("docker.io/me/app", "me/app:latest"),
            ("reg/library/app", "reg/library/app:latest"),
            ("BAD IMAGE", "BAD IMAGE"),
            ("", ""),
        ] {
            assert_eq!(tagged(image), wanted);
        }
    }
}
