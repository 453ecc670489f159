//! The functions of templates.
//!
//! | function | gives |
//! |---|---|
//! | `and`, `or` | the first argument that is empty, or that is not; else the last |
//! | `not` | whether its argument is empty: null, false, 0, or without content |
//! | `len`, `index X I..` | how much is in it; the item or member of it, and of that |
//! | `eq X Y..`, `ne lt le gt ge` | comparisons; `eq` with any of several |
//! | `add sub mul div mod`, `fdiv` | arithmetic, of integers if all are, but `fdiv` |
//! | `int`, `fraq`, `even` | the whole part, what is behind it, whether an integer is even |
//! | `printf F X..` | text by a format as of printf(3): `%s %v %d %x %o %f %e %g %q %c`, with flags, width and precision |
//! | `typeof`, `exists O N` | the kind of a value; whether an object has a member |

use serde_json::Value;
use std::cmp::Ordering;

const NAMES: [&str; 23] = [
    "and", "or", "not", "len", "index", "eq", "ne", "lt", "le", "gt", "ge", "add", "sub", "mul", "div",
    "mod", "fdiv", "int", "fraq", "even", "printf", "typeof", "exists",
];

/// Widest field of a format, and most digits behind its point.
const WIDTH_MAX: usize = 1000;

/// Whether there is such a function.
pub(super) fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Whether a value counts as nothing.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

/// A value as it is printed.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Calls a function.
///
/// # Errors
/// Why these are no arguments for it.
pub(super) fn call(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let exactly = |count: usize| {
        let plural = if count == 1 { "" } else { "s" };
        if arguments.len() == count { Ok(()) } else { Err(format!("{name} takes {count} argument{plural}")) }
    };
    match name {
        "and" | "or" => {
            let last = arguments.last().ok_or_else(|| format!("{name} takes arguments"))?;
            let deciding = arguments.iter().find(|value| is_empty(value) == (name == "and"));
            Ok(deciding.unwrap_or(last).clone())
        }
        "printf" => format(arguments).map(Value::from),
        "index" => index(arguments),
        "eq" => {
            let (one, others) = arguments.split_first().ok_or("eq takes arguments")?;
            Ok(others.iter().any(|other| compare(one, other) == Some(Ordering::Equal)).into())
        }
        "not" | "len" | "int" | "fraq" | "even" | "typeof" => {
            exactly(1)?;
            of_one(name, &arguments[0])
        }
        _ => {
            exactly(2)?;
            of_two(name, &arguments[0], &arguments[1])
        }
    }
}

fn of_one(name: &str, value: &Value) -> Result<Value, String> {
    Ok(match name {
        "not" => is_empty(value).into(),
        "len" => match value {
            Value::String(text) => text.chars().count().into(),
            Value::Array(items) => items.len().into(),
            Value::Object(members) => members.len().into(),
            Value::Null => 0.into(),
            _ => return Err("len takes a string, an array or an object".into()),
        },
        "int" => match value.as_i64() {
            Some(number) => number.into(),
            // A cast of a float ends at the bounds of the integer.
            None => (number(name, value)?.trunc() as i64).into(),
        },
        "fraq" => number(name, value)?.fract().into(),
        "even" => (number(name, value)? % 2.0 == 0.0).into(),
        _ => match value {
            Value::Null => "null",
            Value::Bool(_) => "bool",
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        }
        .into(),
    })
}

fn of_two(name: &str, one: &Value, other: &Value) -> Result<Value, String> {
    let ordered = || compare(one, other).ok_or_else(|| format!("{name} cannot compare these"));
    Ok(match name {
        "ne" => (compare(one, other) != Some(Ordering::Equal)).into(),
        "lt" => ordered()?.is_lt().into(),
        "le" => ordered()?.is_le().into(),
        "gt" => ordered()?.is_gt().into(),
        "ge" => ordered()?.is_ge().into(),
        "exists" => match other {
            Value::String(member) => one.get(member).is_some().into(),
            _ => return Err("exists takes an object and a name".into()),
        },
        _ => return arithmetic(name, one, other),
    })
}

fn arithmetic(name: &str, one: &Value, other: &Value) -> Result<Value, String> {
    if let (Some(a), Some(b)) = (one.as_i64(), other.as_i64())
        && name != "fdiv"
    {
        if b == 0 && matches!(name, "div" | "mod") {
            return Err("division by zero".into());
        }
        let result = match name {
            "add" => a.checked_add(b),
            "sub" => a.checked_sub(b),
            "mul" => a.checked_mul(b),
            "div" => a.checked_div(b),
            _ => a.checked_rem(b),
        };
        return Ok(result.ok_or("a number is too large")?.into());
    }
    let (a, b) = (number(name, one)?, number(name, other)?);
    if b == 0.0 && matches!(name, "div" | "fdiv" | "mod") {
        return Err("division by zero".into());
    }
    Ok(match name {
        "add" => a + b,
        "sub" => a - b,
        "mul" => a * b,
        "mod" => a % b,
        _ => a / b,
    }
    .into())
}

fn number(name: &str, value: &Value) -> Result<f64, String> {
    value.as_f64().ok_or_else(|| format!("{name} takes numbers"))
}

/// How two values stand to each other; `None` if they cannot be ordered and are not equal.
fn compare(one: &Value, other: &Value) -> Option<Ordering> {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
        },
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => (one == other).then_some(Ordering::Equal),
    }
}

fn index(arguments: &[Value]) -> Result<Value, String> {
    let (from, places) = arguments.split_first().ok_or("index takes arguments")?;
    let mut value = from;
    for place in places {
        let found = match place {
            Value::String(name) => value.get(name),
            Value::Number(number) => {
                number.as_u64().and_then(|at| usize::try_from(at).ok()).and_then(|at| value.get(at))
            }
            _ => return Err("index takes numbers and names".into()),
        };
        value = found.unwrap_or(&Value::Null);
    }
    Ok(value.clone())
}

/// What stands between a `%` and its letter.
#[derive(Default)]
struct Field {
    left: bool,
    zero: bool,
    plus: bool,
    width: usize,
    precision: Option<usize>,
}

fn format(arguments: &[Value]) -> Result<String, String> {
    let Some((Value::String(format), arguments)) = arguments.split_first() else {
        return Err("printf takes a format".into());
    };
    let mut arguments = arguments.iter();
    let mut next = || arguments.next().ok_or("printf has too few arguments");
    let mut out = String::new();
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let mut field = Field::default();
        while let Some(flag) = letters.next_if(|flag| "-0+ #".contains(*flag)) {
            field.left |= flag == '-';
            field.zero |= flag == '0';
            field.plus |= flag == '+';
        }
        let mut size = |letters: &mut std::iter::Peekable<std::str::Chars<'_>>| -> Result<usize, String> {
            if letters.next_if_eq(&'*').is_some() {
                let given = next()?.as_u64().ok_or("printf takes a number for *")?;
                return Ok(usize::try_from(given).unwrap_or(WIDTH_MAX).min(WIDTH_MAX));
            }
            let mut size = 0;
            while let Some(digit) = letters.next_if(char::is_ascii_digit).and_then(|digit| digit.to_digit(10))
            {
                size = (size * 10 + digit as usize).min(WIDTH_MAX);
            }
            Ok(size)
        };
        field.width = size(&mut letters)?;
        if letters.next_if_eq(&'.').is_some() {
            field.precision = Some(size(&mut letters)?);
        }
        // C has lengths here; there is one kind of number.
        while letters.next_if(|length| "lhzjt".contains(*length)).is_some() {}
        match letters.next() {
            Some('%') => out.push('%'),
            Some(verb) => field.put(verb, next()?, &mut out)?,
            None => return Err("printf's format ends in a %".into()),
        }
    }
    Ok(out)
}

impl Field {
    fn put(&self, verb: char, value: &Value, out: &mut String) -> Result<(), String> {
        let integer = || match value.as_i64() {
            Some(number) => Ok(number),
            None => Ok::<i64, String>(number("printf", value)?.trunc() as i64),
        };
        let digits = self.precision.unwrap_or(6);
        let shown = match verb {
            's' | 'v' => match self.precision {
                Some(most) => text(value).chars().take(most).collect(),
                None => text(value),
            },
            'q' => Value::from(text(value)).to_string(),
            'd' | 'i' | 'u' => self.signed(integer()?.to_string()),
            'x' => format!("{:x}", integer()?),
            'X' => format!("{:X}", integer()?),
            'o' => format!("{:o}", integer()?),
            'c' => {
                char::from_u32(u32::try_from(integer()?).unwrap_or(0)).map(String::from).unwrap_or_default()
            }
            'f' | 'F' => self.signed(format!("{:.digits$}", number("printf", value)?)),
            'e' | 'E' => self.signed(format!("{:.digits$e}", number("printf", value)?)),
            'g' | 'G' => self.signed(number("printf", value)?.to_string()),
            other => return Err(format!("printf knows no %{other}")),
        };
        let missing = self.width.saturating_sub(shown.chars().count());
        if self.left {
            out.push_str(&shown);
            out.extend(std::iter::repeat_n(' ', missing));
        } else if self.zero && !matches!(verb, 's' | 'v' | 'q' | 'c') {
            let sign = shown.find(|letter| !"+-".contains(letter)).unwrap_or(0);
            out.push_str(&shown[..sign]);
            out.extend(std::iter::repeat_n('0', missing));
            out.push_str(&shown[sign..]);
        } else {
            out.extend(std::iter::repeat_n(' ', missing));
            out.push_str(&shown);
        }
        Ok(())
    }

    fn signed(&self, text: String) -> String {
        if self.plus && !text.starts_with('-') { format!("+{text}") } else { text }
    }
}
