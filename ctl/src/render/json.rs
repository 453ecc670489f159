//! JSON with its keys in order, on one line or indented.

use serde_json::Value;

/// Writes a value, ended by a line end; `indent` blanks for each level, or all on one line when it is `None`. The keys
/// of an object are in byte order, as `serde_json` keeps them.
#[must_use]
pub fn render(value: &Value, indent: Option<usize>) -> String {
    let mut text = match indent {
        None => value.to_string(),
        Some(width) => {
            let mut text = String::new();
            write_indented(value, width, 0, &mut text);
            text
        }
    };
    text.push('\n');
    text
}

// The depth is that of the API's own objects (six at most), or of what `serde_json` read, which refuses past 128.
fn write_indented(value: &Value, width: usize, depth: usize, text: &mut String) {
    match value {
        Value::Array(items) if !items.is_empty() => {
            text.push('[');
            for (position, item) in items.iter().enumerate() {
                new_line(position > 0, width * (depth + 1), text);
                write_indented(item, width, depth + 1, text);
            }
            new_line(false, width * depth, text);
            text.push(']');
        }
        Value::Object(fields) if !fields.is_empty() => {
            text.push('{');
            for (position, (name, field)) in fields.iter().enumerate() {
                new_line(position > 0, width * (depth + 1), text);
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push_str(": ");
                write_indented(field, width, depth + 1, text);
            }
            new_line(false, width * depth, text);
            text.push('}');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

fn new_line(comma: bool, blanks: usize, text: &mut String) {
    text.push_str(if comma { ",\n" } else { "\n" });
    text.extend(std::iter::repeat_n(' ', blanks));
}

#[cfg(test)]
mod tests {
    use super::render;
    use serde_json::json;

    #[test]
    fn keys_are_sorted() {
        let value = json!({"b": [1, {"d": null, "c": "x\ny"}], "a": {}, "c": []});
        assert_eq!(render(&value, None), "{\"a\":{},\"b\":[1,{\"c\":\"x\\ny\",\"d\":null}],\"c\":[]}\n");
    }

    #[test]
    fn indentation_is_as_wide_as_asked() {
        let value = json!({"b": [1, {"c": "x"}], "a": {}});
        let expected = "{\n  \"a\": {},\n  \"b\": [\n    1,\n    {\n      \"c\": \"x\"\n    }\n  ]\n}\n";
        assert_eq!(render(&value, Some(2)), expected);
        assert_eq!(render(&json!([true]), Some(0)), "[\ntrue\n]\n");
    }
}
