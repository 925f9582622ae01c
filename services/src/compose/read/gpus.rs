//! GPUs: `gpus`, and the devices of `deploy.resources.reservations`, which say
//! the same.

use super::super::item::Item;
use super::super::model::{GpuCount, Gpus};
use super::pairs;

const GPU: &str = "gpu";

/// `all`, or a list of one.
pub(super) fn read_gpus(item: &Item<'_>) -> Option<Gpus> {
    if item.node.as_text().is_some() {
        return Some(Gpus {
            count: Some(read_count(item)?),
            capabilities: vec![GPU.to_owned()],
            ..Gpus::default()
        });
    }
    read_requests(item, false)
}

/// A list of one, whose capabilities must say that it is a GPU.
pub(super) fn read_reserved(item: &Item<'_>) -> Option<Gpus> {
    read_requests(item, true)
}

fn read_requests(item: &Item<'_>, must_say_gpu: bool) -> Option<Gpus> {
    let requests = item.list()?;
    let (first, others) = requests.split_first()?;
    if let Some(other) = others.first() {
        other.error("one kind of GPU can be asked for: name them all in one entry");
    }
    let mut fields = first.fields()?;
    let mut gpus = Gpus {
        driver: fields.get("driver", Item::word),
        count: fields.get("count", read_count),
        device_ids: fields.or_default("device_ids", |item| item.list_of(Item::word)),
        capabilities: fields.or_default("capabilities", |item| item.list_of(Item::word)),
        options: fields.or_default("options", pairs::texts),
    };
    if must_say_gpu && !gpus.capabilities.iter().any(|it| it == GPU) {
        first.error("only GPUs are devices here: `capabilities: [gpu]`; others are named by `devices` or `generic_resources`");
    }
    if gpus.count.is_some() && !gpus.device_ids.is_empty() {
        fields.error_at("count", "`count` and `device_ids` cannot both be said");
    }
    fields.finish();
    if !gpus.capabilities.iter().any(|it| it == GPU) {
        gpus.capabilities.insert(0, GPU.to_owned());
    }
    if gpus.device_ids.is_empty() {
        gpus.count.get_or_insert(GpuCount::All);
    }
    Some(gpus)
}

fn read_count(item: &Item<'_>) -> Option<GpuCount> {
    item.parsed(|text| match text {
        "all" | "-1" => Ok(GpuCount::All),
        _ => match text.parse() {
            Ok(count @ 1..) => Ok(GpuCount::Of(count)),
            _ => Err(format!("{text:?} is no number of GPUs: all, or 1 and more")),
        },
    })
}
