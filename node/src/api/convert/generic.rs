//! Generic resources: what services reserve, nodes have and tasks were given.

use services::generic::{Amount, Generic, Wanted};

use crate::api::dto::{DiscreteResource, GenericResource, NamedResource};
use crate::api::error::ApiError;

/// Bounds what one command makes the managers hold.
const MAX_KINDS: usize = 64;
const MAX_KIND: usize = 63;

/// What a service reserves: numbers, because the swarm chooses which.
pub(super) fn wanted(reserved: &[GenericResource]) -> Result<Wanted, ApiError> {
    let mut wanted = Wanted::new();
    for resource in reserved {
        if let Some(named) = &resource.named_resource_spec {
            return Err(invalid(&named.kind));
        }
        let Some(DiscreteResource { kind, value }) = &resource.discrete_resource_spec else {
            continue;
        };
        let number = u64::try_from(*value).map_err(|_| invalid(kind))?;
        if !is_kind(kind) {
            return Err(ApiError::invalid_argument(format!(
                "invalid kind of a generic resource {kind:?}: use letters, digits, '-', '_' and '.'"
            )));
        }
        if wanted.len() == MAX_KINDS && !wanted.contains_key(kind) {
            return Err(ApiError::invalid_argument(format!(
                "a service cannot reserve more than {MAX_KINDS} kinds of generic resources"
            )));
        }
        let sum = wanted.entry(kind.clone()).or_default();
        *sum = sum.saturating_add(number);
    }
    wanted.retain(|_, number| *number > 0);
    Ok(wanted)
}

/// It is a part of a variable's name.
fn is_kind(kind: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !kind.is_empty() && kind.len() <= MAX_KIND && kind.bytes().all(letter)
}

/// In Docker's words.
fn invalid(kind: &str) -> ApiError {
    ApiError::invalid_argument(format!("invalid argument for resource {kind}"))
}

pub(super) fn show_wanted(wanted: &Wanted) -> Vec<GenericResource> {
    wanted
        .iter()
        .map(|(kind, number)| discrete(kind, *number))
        .collect()
}

pub(super) fn show(generic: &Generic) -> Vec<GenericResource> {
    let mut shown = Vec::new();
    for (kind, amount) in generic {
        match amount {
            Amount::Discrete(number) => shown.push(discrete(kind, *number)),
            Amount::Named(names) => shown.extend(names.iter().map(|name| GenericResource {
                named_resource_spec: Some(NamedResource {
                    kind: kind.clone(),
                    value: name.clone(),
                }),
                ..GenericResource::default()
            })),
        }
    }
    shown
}

fn discrete(kind: &str, number: u64) -> GenericResource {
    GenericResource {
        discrete_resource_spec: Some(DiscreteResource {
            kind: kind.to_owned(),
            value: i64::try_from(number).unwrap_or(i64::MAX),
        }),
        ..GenericResource::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Wanted, String> {
        let reserved: Vec<GenericResource> = serde_json::from_str(json).unwrap();
        wanted(&reserved).map_err(|error| error.message)
    }

    #[test]
    fn a_service_reserves_numbers() {
        let json = r#"[{"DiscreteResourceSpec":{"Kind":"SSD","Value":3}},{"DiscreteResourceSpec":{"Kind":"none"}}]"#;
        assert_eq!(read(json), Ok([("SSD".to_owned(), 3)].into()));
        let why = "rpc error: code = InvalidArgument desc = invalid argument for resource GPU";
        for json in [
            r#"[{"NamedResourceSpec":{"Kind":"GPU","Value":"UUID1"}}]"#,
            r#"[{"DiscreteResourceSpec":{"Kind":"GPU","Value":-1}}]"#,
        ] {
            assert_eq!(read(json), Err(why.to_owned()), "{json}");
        }
        assert!(read(r#"[{"DiscreteResourceSpec":{"Kind":"a=b","Value":1}}]"#).is_err());
    }

    #[test]
    fn what_has_names_is_shown_by_them() {
        let generic = [
            (
                "GPU".to_owned(),
                Amount::Named(["u1".into(), "u2".into()].into()),
            ),
            ("SSD".to_owned(), Amount::Discrete(3)),
        ];
        insta::assert_snapshot!(serde_json::to_string(&show(&generic.into())).unwrap(), @r#"
        [{"NamedResourceSpec":{"Kind":"GPU","Value":"u1"}},{"NamedResourceSpec":{"Kind":"GPU","Value":"u2"}},{"DiscreteResourceSpec":{"Kind":"SSD","Value":3}}]
        "#);
    }
}
