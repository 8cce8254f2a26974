//! A program that notifies people through an embedded Campanile: no server, no configuration file.
//!
//! ```console
//! $ cargo run -p embed -- path/to/plugins
//! ```
//!
//! The folder holds built plugins, such as `target/release/plugins` after `make build`.

use std::time::Duration;

use anyhow::Context as _;
use campanile::config::{Config, Durability};
use campanile::{Notification, Priority, Runtime};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let plugins = std::env::args_os().nth(1).context("usage: embed FOLDER_OF_PLUGINS")?;

    let mut config = Config::default();
    config.store.durability = Durability::Memory; // An example leaves nothing behind; a real program keeps the default.
    config.plugins.bundled_dir = Some(plugins.into()); // Compiled when a channel first uses one.
    config.plugins.watch = false;
    let cache = std::env::temp_dir().join(format!("campanile-embed-{}", std::process::id()));
    config.plugins.cache_dir = cache.clone();

    let runtime = Runtime::builder().config(config).build().await?;
    let handle = runtime
        .notify(
            Notification::new()
                .channel("console")
                .priority(Priority::High)
                .title("Embedded")
                .body("hello from a program of its own"),
        )
        .await?;
    println!("accepted {}", handle.id());

    let record = handle.outcome(Duration::from_secs(10)).await?;
    for delivery in &record.deliveries {
        println!("{} through {}: {}", delivery.id, delivery.channel, delivery.state.status().as_str());
    }
    runtime.shutdown(Duration::from_secs(10)).await?;
    std::fs::remove_dir_all(cache).ok();
    Ok(())
}
