//! What `waits` says of what is not good in it.

use super::*;

#[test]
fn every_bad_wait_is_named() {
    let told = |waits: &str| complaint(load(&format!("[retry.a]\nstrategy = 'schedule'\nwaits = {waits}")));
    let both = told("['1s', '-1s', 'banana']");
    assert!(both.starts_with("the configuration has 2 problems:"), "{both}");
    assert!(both.contains("`-1s` is not a duration") && both.contains("`banana` is not a duration"), "{both}");
    let mixed = told("['1s', 5]");
    assert!(mixed.contains("`retry.a.waits` holds an integer, expected an array of strings"), "{mixed}");
}
