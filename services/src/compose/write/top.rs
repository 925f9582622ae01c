//! Networks, volumes, secrets and configs.

use super::super::model::{FileObject, FileSource, Network, Volume};
use super::Fields;
use super::text::Yaml;
use crate::spec::{IpamConfig, IpamSpec};

pub(super) fn network(network: &Network) -> Yaml {
    let mut fields = Fields::default();
    fields.text("name", network.name.as_ref());
    fields.flag("external", network.external);
    fields.driver("driver", "driver_opts", network.driver.as_ref());
    fields.flag("internal", network.internal);
    fields.flag("attachable", network.attachable);
    fields.flag("enable_ipv6", network.ipv6);
    fields.put("ipam", ipam(&network.ipam));
    fields.pairs("labels", &network.labels);
    fields.done()
}

fn ipam(ipam: &IpamSpec) -> Yaml {
    let mut fields = Fields::default();
    fields.driver("driver", "options", ipam.driver.as_ref());
    fields.list("config", &ipam.configs, ipam_config);
    fields.done()
}

fn ipam_config(config: &IpamConfig) -> Yaml {
    let mut fields = Fields::default();
    fields.text("subnet", config.subnet.map(|net| net.to_string()));
    fields.text("ip_range", config.ip_range.map(|net| net.to_string()));
    fields.text("gateway", config.gateway.map(|ip| ip.to_string()));
    fields.named("aux_addresses", &config.aux, |ip| {
        Yaml::text(&ip.to_string())
    });
    fields.done()
}

pub(super) fn volume(volume: &Volume) -> Yaml {
    let mut fields = Fields::default();
    fields.text("name", volume.name.as_ref());
    fields.flag("external", volume.external);
    fields.driver("driver", "driver_opts", volume.driver.as_ref());
    fields.pairs("labels", &volume.labels);
    fields.done()
}

pub(super) fn file_object(object: &FileObject) -> Yaml {
    let mut fields = Fields::default();
    fields.text("name", object.name.as_ref());
    match &object.source {
        FileSource::External => fields.flag("external", true),
        FileSource::File(path) => fields.text("file", path.to_str()),
        FileSource::Content(text) => fields.text("content", Some(text)),
        FileSource::Environment { variable, .. } => fields.text("environment", Some(variable)),
    }
    fields.pairs("labels", &object.labels);
    let driver = object.templating.as_ref();
    fields.text("template_driver", driver.map(|driver| &driver.name));
    fields.done()
}
