//! A pipeline as one text that changes exactly when its meaning does.

use serde_json::{Map, Value};

use super::model::{Pipeline, ScheduleBlock};
use super::node::Node;

/// The text: JSON with sorted keys, with what is inherited, without secrets.
pub(super) fn canonical(effective: &Node, schedule: Option<&ScheduleBlock>) -> String {
    let mut value = effective.to_json();
    if let (Value::Object(map), Some(schedule)) = (&mut value, schedule) {
        map.insert("schedule".to_owned(), schedule.0.to_json());
    }
    sorted(value).to_string()
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Array(elements) => elements.into_iter().map(sorted).collect(),
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            entries.into_iter().map(|(key, value)| (key, sorted(value))).collect::<Map<_, _>>().into()
        }
        other => other,
    }
}

impl Pipeline {
    /// A number of [`Pipeline::canonical`] that is the same on every machine (FNV-1a, 64 bits).
    pub fn fingerprint(&self) -> u64 {
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        self.canonical.bytes().fold(0xcbf2_9ce4_8422_2325, step)
    }
}
