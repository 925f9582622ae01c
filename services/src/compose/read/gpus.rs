//! GPUs: `gpus`, and the devices of `deploy.resources.reservations`, which say
//! the same.

use super::super::item::Item;
use super::pairs;
use crate::spec::{GpuCount, GpuRequest};

const GPU: &str = "gpu";

/// `all`, or a list of one.
pub(super) fn read_gpus(item: &Item<'_>) -> Option<GpuRequest> {
    if item.node.as_text().is_some() {
        return Some(GpuRequest {
            count: read_count(item)?,
            capabilities: [GPU.to_owned()].into(),
            ..GpuRequest::default()
        });
    }
    read_requests(item, false)
}

/// A list of one, whose capabilities must say that it is a GPU.
pub(super) fn read_reserved(item: &Item<'_>) -> Option<GpuRequest> {
    read_requests(item, true)
}

fn read_requests(item: &Item<'_>, must_say_gpu: bool) -> Option<GpuRequest> {
    let requests = item.list()?;
    let (first, others) = requests.split_first()?;
    if let Some(other) = others.first() {
        other.error("one kind of GPU can be asked for: name them all in one entry");
    }
    let mut fields = first.fields()?;
    let words = |item: &Item<'_>| item.list_of(Item::word);
    let count = fields.get("count", read_count);
    let named = fields.or_default("device_ids", words);
    let capabilities = fields.or_default("capabilities", words);
    let mut gpus = GpuRequest {
        driver: fields.or_default("driver", Item::word),
        count: GpuCount::All,
        capabilities: capabilities.into_iter().collect(),
        options: fields.or_default("options", pairs::texts),
    };
    if must_say_gpu && !gpus.capabilities.contains(GPU) {
        first.error("only GPUs are devices here: `capabilities: [gpu]`; others are named by `devices` or `generic_resources`");
    }
    if count.is_some() && !named.is_empty() {
        fields.error_at("count", "`count` and `device_ids` cannot both be said");
    }
    fields.finish();
    gpus.capabilities.insert(GPU.to_owned());
    gpus.count = match named.is_empty() {
        true => count.unwrap_or(GpuCount::All),
        false => GpuCount::Named(named),
    };
    Some(gpus)
}

fn read_count(item: &Item<'_>) -> Option<GpuCount> {
    item.parsed(|text| match text {
        "all" | "-1" => Ok(GpuCount::All),
        _ => match text.parse() {
            Ok(count @ 1..) => Ok(GpuCount::Number(count)),
            _ => Err(format!("{text:?} is no number of GPUs: all, or 1 and more")),
        },
    })
}
