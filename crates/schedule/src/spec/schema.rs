//! The JSON Schema of a `schedule:` block, for editors.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::ScheduleSpec;

impl JsonSchema for ScheduleSpec {
    fn schema_name() -> Cow<'static, str> {
        "Schedule".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let duration = |what: &str| {
            json_schema!({
                "description": format!("{what}: 500ms, 30s, 1h30m, 2d, 1w, or a number of seconds"),
                "type": ["string", "number"],
                "minimum": 0,
            })
        };
        let count = json_schema!({ "type": ["number", "string"], "minimum": 0 });
        let instant = "RFC 3339, or a local time in the job's zone such as 2026-12-24T18:00";
        json_schema!({
            "type": "object",
            "description": "When the pipeline runs: exactly one of cron, interval, at and manual.",
            "additionalProperties": false,
            "properties": {
                "cron": {
                    "type": "string",
                    "description": "minute hour day-of-month month day-of-week, or a nickname such as @daily; 0 and 7 are Sunday",
                    "examples": ["*/30 9-17 * * 1-5", "0 2 * * *", "@hourly"],
                },
                "interval": {
                    "description": "A period in real time",
                    "anyOf": [
                        duration("From 1s on"),
                        {
                            "type": "object",
                            "additionalProperties": false,
                            "properties": {
                                "weeks": count, "days": count, "hours": count, "minutes": count, "seconds": count,
                            },
                        },
                    ],
                },
                "at": { "type": "string", "description": format!("Once: {instant}") },
                "manual": { "type": ["boolean", "string"], "description": "Runs only when it is started by hand" },
                "timezone": { "type": "string", "description": "An IANA name", "examples": ["Europe/Stockholm", "UTC"] },
                "dst": {
                    "type": "object",
                    "description": "What happens when clocks change, in place of the rule for the kind of expression",
                    "additionalProperties": false,
                    "properties": {
                        "gap": {
                            "enum": ["run_after", "skip"],
                            "description": "A fire in the hour that the clocks skip: right after it, or not at all",
                        },
                        "overlap": {
                            "enum": ["first", "second", "both"],
                            "description": "A fire in the hour that comes twice: the first time, the second, or both",
                        },
                    },
                },
                "jitter": duration("The start of each fire is delayed by less than this"),
                "start": { "type": "string", "description": format!("The earliest fire: {instant}") },
                "end": { "type": "string", "description": format!("The latest fire: {instant}") },
                "misfire": {
                    "type": "object",
                    "description": "What to do about fires that are seen late",
                    "additionalProperties": false,
                    "properties": {
                        "catch_up": {
                            "enum": ["latest", "all", "skip"],
                            "default": "latest",
                            "description": "Which of them run: the newest, all (no more than `max`), or none",
                        },
                        "grace": duration("How late a fire may start; a later one is missed"),
                        "max": {
                            "type": ["integer", "string"],
                            "minimum": 1,
                            "maximum": 10_000,
                            "default": 100,
                            "description": "The most fires that one catch-up runs",
                        },
                    },
                },
            },
        })
    }
}
