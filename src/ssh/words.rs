//! Splits a command into words, as rsync splits its `-e`: at spaces, with simple quotes.
//!
//! Does not know what is run. No shell does this: there are no variables, patterns or backslashes.

/// The words of `text`; none where a quote is not closed, or there are no words.
///
/// Between quotes, single or double, everything stands for itself; the quote itself is written twice.
pub fn split(text: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match quote {
            Some(open) if c == open && rest.next_if_eq(&open).is_some() => {
                word.get_or_insert_default().push(c);
            }
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '\'' => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            None if c == ' ' => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    (quote.is_none() && !words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn words_are_split_at_spaces_outside_of_quotes() {
        let split = |text| split(text).unwrap_or_default();
        assert_eq!(split("ssh"), ["ssh"]);
        assert_eq!(split("  ssh  -p 22 "), ["ssh", "-p", "22"]);
        assert_eq!(split("ssh -o 'ProxyCommand=nc -x %h'"), ["ssh", "-o", "ProxyCommand=nc -x %h"]);
        assert_eq!(split("\"/my ssh\"/bin ''"), ["/my ssh/bin", ""]);
        assert_eq!(split("'it''s' \"a'b\" \\$x"), ["it's", "a'b", "\\$x"]);
        assert!(split("").is_empty() && split("   ").is_empty() && split("ssh 'x").is_empty());
    }
}
