//! Lists of CPUs, which were one CPU in older files.

use serde::{Deserialize, Deserializer};

/// Reads one CPU or a list of them.
pub(super) fn one_or_more<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<usize>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Cores {
        One(usize),
        More(Vec<usize>),
    }
    Ok(match Cores::deserialize(deserializer)? {
        Cores::One(core) => vec![core],
        Cores::More(cores) => cores,
    })
}

#[cfg(test)]
mod tests {
    use crate::results::{Occasion, Settings};

    #[test]
    fn the_one_generator_core_of_older_files_is_a_list() {
        let mut settings = Settings { generator_cores: vec![2, 3], ..Settings::default() };
        let json = serde_json::to_value(&settings).unwrap();
        assert_eq!(json["generator_cores"], serde_json::json!([2, 3]));
        let older = json.to_string().replace(r#""generator_cores":[2,3]"#, r#""generator_core":7"#);
        settings = serde_json::from_str(&older).unwrap();
        assert_eq!(settings.generator_cores, [7]);
        let occasion = serde_json::to_string(&Occasion::default()).unwrap();
        let older = occasion.replace(r#""generator_cores":[]"#, r#""generator_core":1"#);
        let occasion: Occasion = serde_json::from_str(&older).unwrap();
        assert_eq!(occasion.generator_cores, [1]);
    }
}
