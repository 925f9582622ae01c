//! Volumes of the project.

use super::super::item::Item;
use super::super::model::Volume;
use super::{External, ignore_beside_external, pairs, read_external};

pub(super) fn read_volume(name: &str, item: &Item<'_>) -> Option<Volume> {
    if item.node.is_null() {
        return Some(Volume::default());
    }
    let mut fields = item.fields()?;
    let External { is_external, name } = read_external(&mut fields, name);
    if is_external {
        ignore_beside_external(&mut fields, &["driver", "driver_opts", "labels"]);
        fields.finish();
        return Some(Volume {
            name,
            external: true,
            ..Volume::default()
        });
    }
    let driver = fields.get("driver", Item::word);
    let options = fields.get("driver_opts", pairs::options);
    let volume = Volume {
        name,
        external: false,
        driver: pairs::driver(driver, options),
        labels: fields.or_default("labels", pairs::texts),
    };
    for name in ["spec", "x-cluster-spec"] {
        if fields.item(name).is_some() {
            fields.error_at(
                name,
                "cluster volumes are not supported: use a volume driver",
            );
        }
    }
    fields.finish();
    Some(volume)
}
