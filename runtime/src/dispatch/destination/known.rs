//! What is remembered of destinations, within bounds.

use std::collections::HashMap;

use super::{KNOWN_MAX, Place};

/// Below so many nobody is forgotten.
pub(super) const KNOWN_LEAST: usize = 1 << 14;

/// What is remembered of destinations of one kind, by place.
#[derive(Debug)]
pub(super) struct Known<T> {
    pub(super) by_place: HashMap<Place, T>,
    /// Those who are idle are forgotten when there are so many.
    forget_at: usize,
}

impl<T> Default for Known<T> {
    fn default() -> Self {
        Self { by_place: HashMap::new(), forget_at: KNOWN_LEAST }
    }
}

impl<T: Default> Known<T> {
    /// What is remembered of this one, which begins now where nothing is; none where there is no room for it.
    pub(super) fn get(&mut self, place: Place, is_idle: impl Fn(&T) -> bool) -> Option<&mut T> {
        if self.by_place.len() >= self.forget_at && !self.by_place.contains_key(&place) {
            self.by_place.retain(|_, known| !is_idle(known));
            self.forget_at = (2 * self.by_place.len()).clamp(KNOWN_LEAST, KNOWN_MAX);
            if self.by_place.len() >= KNOWN_MAX {
                return None;
            }
        }
        Some(self.by_place.entry(place).or_default())
    }
}
