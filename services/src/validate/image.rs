//! The grammar of image references (`distribution/reference`):
//! `[domain/]path[:tag][@digest]`.

const MAX_NAME: usize = 255;
const MAX_TAG: usize = 128;

pub(super) fn is_reference(text: &str) -> bool {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    let (name, tag) = match rest.rsplit_once(':') {
        // A colon before a slash belongs to a registry's port.
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    is_name(name) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest) && !is_bare_digest(text)
}

fn is_name(name: &str) -> bool {
    let (domain, path) = match name.split_once('/') {
        Some((head, path)) if is_domain_like(head) => (Some(head), path),
        _ => (None, name),
    };
    name.len() <= MAX_NAME && domain.is_none_or(is_domain) && path.split('/').all(is_path_component)
}

fn is_domain_like(head: &str) -> bool {
    head == "localhost"
        || head
            .chars()
            .any(|it| it == '.' || it == ':' || it.is_ascii_uppercase())
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (domain, None),
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|it| it.is_ascii_digit());
    let bracketed = host.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let is_host = match bracketed {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(is_host_component),
    };
    is_host && port.is_none_or(is_port)
}

fn is_host_component(part: &str) -> bool {
    !part.is_empty()
        && !part.starts_with('-')
        && !part.ends_with('-')
        && part
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || it == b'-')
}

/// Lower-case alphanumerics with `.`, `_`, `__` or dashes between them.
fn is_path_component(part: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = part.split(|it: char| it.is_ascii() && word(it as u8));
    let edges = part.bytes().next().is_some_and(word) && part.bytes().last().is_some_and(word);
    let is_separator =
        |it: &str| matches!(it, "" | "." | "_" | "__") || it.bytes().all(|byte| byte == b'-');
    edges && separators.into_iter().all(is_separator)
}

fn is_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= MAX_TAG
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|it| word(it) || it == b'.' || it == b'-')
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, hex)) = digest.split_once(':') else {
        return false;
    };
    let named = algorithm
        .bytes()
        .next()
        .is_some_and(|it| it.is_ascii_alphabetic())
        && algorithm
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || b"+._-".contains(&it));
    named && hex.len() >= 32 && hex.bytes().all(|it| it.is_ascii_hexdigit())
}

/// 64 hexadecimal digits mean an image's id, which is no name.
fn is_bare_digest(text: &str) -> bool {
    text.len() == 64
        && text
            .bytes()
            .all(|it| it.is_ascii_digit() || (b'a'..=b'f').contains(&it))
}
