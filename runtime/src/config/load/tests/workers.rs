//! What `[workers]` takes, and what it says of what it does not.

use super::*;
use crate::config::WorkersConfig;

#[test]
fn every_key_of_the_pool_is_read() {
    let expected = WorkersConfig {
        min: 2,
        max: 3,
        per_worker: 4,
        target_load: 0.8,
        scale_up_after: Duration::from_secs(2),
        scale_down_load: 0.25,
        scale_down_after: Duration::from_mins(1),
        idle_after: Duration::from_mins(2),
        health_check: Duration::from_secs(5),
        batch: 5,
        strategy: Balance::Affinity,
    };
    assert_eq!(load(EVERY_KEY).expect("all of it is good").workers, expected);
}

#[test]
fn a_small_maximum_alone_is_a_pool_of_that_size() {
    let workers = |text: &str| load(text).expect("good").workers;
    assert_eq!(workers("[workers]\nmax = 1").min, 1);
    assert_eq!(workers("[workers]\nmax = 9").min, 2);
    for strategy in Balance::ALL {
        assert_eq!(workers(&format!("[workers]\nstrategy = '{}'", strategy.as_str())).strategy, strategy);
    }
}

#[test]
fn a_pool_that_cannot_be_or_would_flap_is_refused_with_what_to_set() {
    let text = "
[workers]
min = 8
max = 4
target_load = 0.6
scale_up_after = '0s'
scale_down_load = 0.31
scale_down_after = '2h'
health_check = '100ms'
strategy = 'round-robbin'
";
    assert_snapshot!(complaint(load(text)), @r#"
    the configuration has 6 problems:
      campanile.toml:3: `workers.min` is `8`, more than `max`, which is `4`; set `min = 4`, or `max = 8`
      campanile.toml:6: `workers.scale_up_after` is `0s`, the limits are `250ms` to `1h`: the load is measured over `250ms` at a time
      campanile.toml:7: `workers.scale_down_load` is `0.31`, and the pool would go up and down with `target_load` at `0.6`: the limits are `0` to half of it; set `scale_down_load = 0.3`
      campanile.toml:8: `workers.scale_down_after` is `2h`, the limits are `250ms` to `1h`: the load is measured over `250ms` at a time
      campanile.toml:9: `workers.health_check` is `100ms`, the limits are `250ms` to `1h`: the load is measured over `250ms` at a time
      campanile.toml:10: `workers.strategy` is `round-robbin`, expected one of `pull`, `round-robin`, `least-connections`, `weighted-round-robin`, `affinity`; did you mean `round-robin`?
    "#);
}

#[test]
fn a_share_that_is_no_number_is_out_of_range() {
    let workers = WorkersConfig { target_load: f64::NAN, scale_down_load: f64::NAN, ..WorkersConfig::default() };
    let error = Config { workers, ..Config::default() }.check().unwrap_err();
    let keys: Vec<_> = error.problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["workers.target_load", "workers.scale_down_load"]);
}
