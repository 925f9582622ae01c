//! An image's name as people know it.

use crate::cli::values::{has_tag, without_hub};

/// Without Docker Hub's prefix, and without the digest where a tag says as
/// much: `docker.io/library/nginx:1@sha256:…` is `nginx:1`.
pub fn familiar(image: &str) -> &str {
    let name = without_hub(image);
    match name.split_once('@') {
        Some((tagged, _)) if has_tag(tagged) => tagged,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_shown_by_the_name_that_people_use() {
        for (image, shown) in [
            ("nginx:1", "nginx:1"),
            ("docker.io/library/nginx:1@sha256:aa", "nginx:1"),
            ("docker.io/me/app:2", "me/app:2"),
            ("nginx@sha256:aa", "nginx@sha256:aa"),
            ("reg:5000/app@sha256:aa", "reg:5000/app@sha256:aa"),
            ("reg:5000/app:3@sha256:aa", "reg:5000/app:3"),
        ] {
            assert_eq!(familiar(image), shown);
        }
    }
}
