//! Channels that tell how their providers do.

use super::*;
use crate::sandbox::Health;

#[tokio::test]
async fn a_channel_is_asked_how_its_provider_does_where_its_plugin_has_an_answer() {
    let rig = Rig::new().with_channel("belfry", "unruly", json!({})).with_channel("quiet", "null", json!({}));
    rig.put(&rig.own("unruly.wasm"), &guest("unruly"));
    rig.put(&rig.own("null.wasm"), &guest("null"));
    let registry = rig.open().await;
    let named = |name: &str| ChannelName::new(name).expect("a name");
    assert_eq!(registry.with_health(), [named("belfry")], "and not `unruly`, which nobody configured");
    let said = registry.health(&named("belfry")).await;
    assert_eq!(said, Some(Ok(Health::Degraded("belfry is tired".to_owned()))));
    for silent in ["quiet", "nowhere"] {
        assert_eq!(registry.health(&named(silent)).await, None, "{silent}");
    }
    version(&registry, "belfry").await.stop();
    assert_eq!(registry.health(&named("belfry")).await, None, "nobody calls what is quarantined");
}
