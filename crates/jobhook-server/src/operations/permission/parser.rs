//! Reads the text of a permission.
//!
//! ```text
//! any     = all { OR all }
//! all     = part { AND part }
//! part    = "(" any ")" | claim test
//! test    = ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value
//!         | LIKE text | IN "[" value { "," value } "]" | CONTAINS value
//! ```
//!
//! Words are taken in any case. Nothing is looked at twice, and depth and length are bounded.

use super::{Expression, Literal, PermissionError, Piece, Test};

/// How deep parentheses may nest.
const MAX_DEPTH: usize = 64;

/// The longest permission, in bytes.
const MAX_LENGTH: usize = 10_000;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(f64),
    /// One of `( ) [ ] , = != < <= > >=`.
    Sign(&'static str),
    End,
}

const SIGNS: [&str; 11] = ["(", ")", "[", "]", ",", "!=", "<=", ">=", "=", "<", ">"];

struct Parser<'a> {
    text: &'a str,
    /// Where the token after this one begins.
    at: usize,
    token: Token,
    /// Where this token begins.
    start: usize,
    depth: usize,
}

pub(super) fn read(text: &str) -> Result<Expression, PermissionError> {
    let mut parser = Parser {
        text,
        at: 0,
        token: Token::End,
        start: 0,
        depth: 0,
    };
    if text.len() > MAX_LENGTH {
        return Err(parser.error(format!("it is longer than {MAX_LENGTH} bytes")));
    }
    if text.trim().is_empty() {
        return Err(parser.error("it is empty; without a permission everybody may launch"));
    }
    parser.advance()?;
    let expression = parser.any()?;
    match parser.token {
        Token::End => Ok(expression),
        _ => Err(parser.error("expected AND or OR, or the end")),
    }
}

impl Parser<'_> {
    fn any(&mut self) -> Result<Expression, PermissionError> {
        let mut parts = vec![self.all()?];
        while self.took_word("OR")? {
            parts.push(self.all()?);
        }
        Ok(one_or(parts, Expression::Any))
    }

    fn all(&mut self) -> Result<Expression, PermissionError> {
        let mut parts = vec![self.part()?];
        while self.took_word("AND")? {
            parts.push(self.part()?);
        }
        Ok(one_or(parts, Expression::All))
    }

    fn part(&mut self) -> Result<Expression, PermissionError> {
        if self.is_sign("(") {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(self.error(format!("nested deeper than {MAX_DEPTH} parentheses")));
            }
            self.advance()?;
            let inner = self.any()?;
            self.expect(")")?;
            self.depth -= 1;
            return Ok(inner);
        }
        let claim = match &self.token {
            Token::Word(word) if word.eq_ignore_ascii_case("NOT") => {
                return Err(self.error("WebdaQL has no NOT; use != or turn the comparison round"));
            }
            Token::Word(word) if !is_keyword(word) => {
                let names: Vec<String> = word.split('.').map(str::to_owned).collect();
                if names.iter().any(String::is_empty) {
                    return Err(self.error(format!("`{word}` is not the name of a claim")));
                }
                names
            }
            _ => return Err(self.error("expected the name of a claim or `(`")),
        };
        self.advance()?;
        let test = self.test()?;
        Ok(Expression::Compare { claim, test })
    }

    fn test(&mut self) -> Result<Test, PermissionError> {
        if let Token::Sign(sign) = self.token {
            let test = match sign {
                "=" => Test::Equal,
                "!=" => Test::NotEqual,
                "<" => Test::Less,
                "<=" => Test::AtMost,
                ">" => Test::More,
                ">=" => Test::AtLeast,
                _ => return Err(self.error(TESTS)),
            };
            self.advance()?;
            return self.value().map(test);
        }
        if self.took_word("LIKE")? {
            let Token::Text(pattern) = &self.token else {
                return Err(self.error("LIKE is followed by a text in quotes"));
            };
            let pieces = pieces(pattern);
            self.advance()?;
            Ok(Test::Like(pieces))
        } else if self.took_word("CONTAINS")? {
            self.value().map(Test::Contains)
        } else if self.took_word("IN")? {
            self.expect("[")?;
            let mut values = vec![self.value()?];
            while self.is_sign(",") {
                self.advance()?;
                values.push(self.value()?);
            }
            if !self.is_sign("]") {
                return Err(self.error("expected `,` or `]`"));
            }
            self.advance()?;
            Ok(Test::In(values))
        } else {
            Err(self.error(TESTS))
        }
    }

    fn value(&mut self) -> Result<Literal, PermissionError> {
        let literal = match &self.token {
            Token::Text(text) => Literal::Text(unescaped(text)),
            Token::Number(number) => Literal::Number(*number),
            Token::Word(word) if word.eq_ignore_ascii_case("TRUE") => Literal::Flag(true),
            Token::Word(word) if word.eq_ignore_ascii_case("FALSE") => Literal::Flag(false),
            Token::Word(word) => {
                return Err(self.error(format!(
                    "expected a value, found `{word}`; a text stands in quotes"
                )));
            }
            _ => {
                return Err(
                    self.error("expected a value: a text in quotes, a number, TRUE or FALSE")
                );
            }
        };
        self.advance()?;
        Ok(literal)
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.token, Token::Sign(own) if own == sign)
    }

    fn expect(&mut self, sign: &str) -> Result<(), PermissionError> {
        if self.is_sign(sign) {
            return self.advance();
        }
        Err(self.error(format!("expected `{sign}`")))
    }

    /// Whether this word was next; it is behind us then.
    fn took_word(&mut self, word: &str) -> Result<bool, PermissionError> {
        let next = matches!(&self.token, Token::Word(own) if own.eq_ignore_ascii_case(word));
        if next {
            self.advance()?;
        }
        Ok(next)
    }

    /// Reads the next token.
    fn advance(&mut self) -> Result<(), PermissionError> {
        let rest = &self.text[self.at..];
        let rest = rest.trim_start();
        self.start = self.text.len() - rest.len();
        let Some(first) = rest.chars().next() else {
            (self.at, self.token) = (self.text.len(), Token::End);
            return Ok(());
        };
        let (token, length) = if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign))
        {
            (Token::Sign(sign), sign.len())
        } else if first == '"' || first == '\'' {
            let Some(length) = end_of_text(&rest[1..], first) else {
                return Err(self.error("the text has no closing quote"));
            };
            (Token::Text(rest[1..=length].to_owned()), length + 2)
        } else if first.is_ascii_digit() || first == '-' {
            let length = end_of_word(rest);
            let (word, plain) = (&rest[..length], |c: char| c.is_ascii_digit() || c == '.');
            let number = word.parse().ok();
            let number = number.filter(|_| word.trim_start_matches('-').chars().all(plain));
            let number = number
                .ok_or_else(|| self.error(format!("`{word}` is not a number such as 3 or -1.5")))?;
            (Token::Number(number), length)
        } else if first.is_ascii_alphabetic() || first == '_' {
            let length = end_of_word(rest);
            (Token::Word(rest[..length].to_owned()), length)
        } else {
            return Err(self.error(format!("unexpected `{first}`")));
        };
        (self.at, self.token) = (self.start + length, token);
        Ok(())
    }

    /// What is wrong with this token.
    fn error(&self, what: impl Into<String>) -> PermissionError {
        let before = &self.text[..self.start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        PermissionError {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            what: what.into(),
        }
    }
}

const TESTS: &str = "expected `=`, `!=`, `<`, `<=`, `>`, `>=`, LIKE, IN or CONTAINS";

fn is_keyword(word: &str) -> bool {
    ["AND", "OR", "LIKE", "IN", "CONTAINS", "TRUE", "FALSE"]
        .iter()
        .any(|keyword| word.eq_ignore_ascii_case(keyword))
}

/// One part as it is, several together.
fn one_or(mut parts: Vec<Expression>, several: fn(Vec<Expression>) -> Expression) -> Expression {
    if parts.len() == 1 {
        parts.remove(0)
    } else {
        several(parts)
    }
}

/// Where the quote that ends a text is; a backslash hides one.
fn end_of_text(text: &str, quote: char) -> Option<usize> {
    let mut hidden = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if hidden => hidden = false,
            '\\' => hidden = true,
            c if c == quote => return Some(at),
            _ => {}
        }
    }
    None
}

fn end_of_word(text: &str) -> usize {
    text.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '_' | '.' | '-'))
        .unwrap_or(text.len())
}

/// A backslash before a quote or another backslash is taken away; any other stays.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some('\'' | '"' | '\\') if c == '\\' => plain.extend(chars.next()),
            _ => plain.push(c),
        }
    }
    plain
}

/// `%` stands for any text, `_` for one character, a backslash takes this from the next.
fn pieces(pattern: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        pieces.push(match c {
            '%' => Piece::AnyMany,
            '_' => Piece::AnyOne,
            '\\' => Piece::One(chars.next().unwrap_or('\\')),
            c => Piece::One(c),
        });
    }
    pieces
}
