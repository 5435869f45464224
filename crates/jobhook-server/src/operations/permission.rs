//! Who may launch an operation: an expression of WebdaQL over the caller's claims (clauses
//! `OP-17`, `OP-18`).
//!
//! ```text
//! roles CONTAINS "ops" AND (team = "blue" OR level >= 3) OR name IN ["ci", "cron"]
//! ```
//!
//! A claim that is not there makes its comparison false, also `!=`: what is not known of
//! somebody never lets them in. What is not understood is refused when it is read, so that no
//! permission is ever ignored. The text is read by `parser`.

mod parser;

use serde_json::Value;

use super::claims::Claims;

/// A permission that was understood.
#[derive(Clone, Debug, PartialEq)]
pub struct Permission(Expression);

/// Why a text is no permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {what}")]
pub struct PermissionError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong there, and what would be right.
    pub what: String,
}

#[derive(Clone, Debug, PartialEq)]
enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Compare {
        /// The names that lead to the claim, outermost first.
        claim: Vec<String>,
        test: Test,
    },
}

#[derive(Clone, Debug, PartialEq)]
enum Test {
    Equal(Literal),
    NotEqual(Literal),
    Less(Literal),
    AtMost(Literal),
    More(Literal),
    AtLeast(Literal),
    Like(Vec<Piece>),
    In(Vec<Literal>),
    Contains(Literal),
}

#[derive(Clone, Debug, PartialEq)]
enum Literal {
    Text(String),
    Number(f64),
    Flag(bool),
}

/// A part of a pattern of `LIKE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    One(char),
    AnyOne,
    AnyMany,
}

impl Permission {
    /// Reads a permission.
    ///
    /// # Errors
    ///
    /// [`PermissionError`] says where it is not understood.
    pub fn read(text: &str) -> Result<Permission, PermissionError> {
        parser::read(text).map(Permission)
    }

    /// Whether somebody with these claims may.
    pub fn permits(&self, claims: &Claims) -> bool {
        self.0.holds(claims)
    }
}

impl Expression {
    fn holds(&self, claims: &Claims) -> bool {
        match self {
            Expression::All(parts) => parts.iter().all(|part| part.holds(claims)),
            Expression::Any(parts) => parts.iter().any(|part| part.holds(claims)),
            Expression::Compare { claim, test } => {
                claims.get(claim).is_some_and(|claim| test.holds(claim))
            }
        }
    }
}

impl Test {
    fn holds(&self, claim: &Value) -> bool {
        match self {
            Test::Equal(literal) => literal.is(claim),
            Test::NotEqual(literal) => !literal.is(claim),
            Test::Less(literal) => literal.order(claim).is_some_and(|order| order.is_lt()),
            Test::AtMost(literal) => literal.order(claim).is_some_and(|order| order.is_le()),
            Test::More(literal) => literal.order(claim).is_some_and(|order| order.is_gt()),
            Test::AtLeast(literal) => literal.order(claim).is_some_and(|order| order.is_ge()),
            Test::Like(pattern) => claim.as_str().is_some_and(|text| is_like(text, pattern)),
            Test::In(literals) => literals.iter().any(|literal| literal.is(claim)),
            Test::Contains(literal) => claim
                .as_array()
                .is_some_and(|items| items.iter().any(|item| literal.is(item))),
        }
    }
}

impl Literal {
    /// Whether `claim` is this; a number is never a text.
    fn is(&self, claim: &Value) -> bool {
        match self {
            Literal::Text(text) => claim.as_str() == Some(text),
            Literal::Number(number) => claim.as_f64() == Some(*number),
            Literal::Flag(flag) => claim.as_bool() == Some(*flag),
        }
    }

    /// How `claim` lies to this; only texts and numbers have an order, each among themselves.
    fn order(&self, claim: &Value) -> Option<std::cmp::Ordering> {
        match self {
            Literal::Text(text) => Some(claim.as_str()?.cmp(text)),
            Literal::Number(number) => claim.as_f64()?.partial_cmp(number),
            Literal::Flag(_) => None,
        }
    }
}

/// Whether the whole text fits. After a mismatch only the last `%` takes one more, so the time
/// is bounded by both lengths multiplied.
fn is_like(text: &str, pattern: &[Piece]) -> bool {
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut piece, mut retry) = (0, 0, None);
    while at < text.len() {
        match pattern.get(piece) {
            Some(Piece::AnyMany) => {
                retry = Some((piece, at));
                piece += 1;
            }
            Some(Piece::AnyOne) => (at, piece) = (at + 1, piece + 1),
            Some(Piece::One(c)) if *c == text[at] => (at, piece) = (at + 1, piece + 1),
            _ => {
                let Some((many, from)) = retry else {
                    return false;
                };
                retry = Some((many, from + 1));
                (at, piece) = (from + 1, many + 1);
            }
        }
    }
    pattern[piece..].iter().all(|rest| *rest == Piece::AnyMany)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn claims() -> Claims {
        let custom = json!({
            "team": "blue", "roles": ["ops", "dev"], "level": 3, "ok": true,
            "org": {"unit": {"id": "u-7"}}, "half": 0.5,
        });
        let Value::Object(custom) = custom else {
            panic!("an object")
        };
        Claims::new("ci", "launch", &custom)
    }

    #[track_caller]
    fn check(text: &str, permits: bool) {
        let permission = Permission::read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(permission.permits(&claims()), permits, "{text}");
    }

    #[track_caller]
    fn refused(text: &str, line: usize, column: usize, says: &str) {
        let error = Permission::read(text).unwrap_err();
        assert_eq!(
            (error.line, error.column),
            (line, column),
            "{text}: {error}"
        );
        assert!(error.what.contains(says), "{text}: {error}");
    }

    #[test]
    fn claims_are_compared_with_texts_numbers_and_booleans() {
        check(r#"team = "blue""#, true);
        check("team = 'blue'", true);
        check("team != 'red'", true);
        check("team != 'blue'", false);
        check("scope = 'launch' AND name = 'ci'", true);
        check("level = 3", true);
        check("level=3.0", true);
        check("level >= 3 AND level <= 3", true);
        check("level > 3 OR level < 3", false);
        check("level > -1", true);
        check("half < 0.75", true);
        check("ok = TRUE", true);
        check("ok = false", false);
        check("team < 'green'", true);
        check("org.unit.id = 'u-7'", true);
        check(r#"team = "bl\"ue""#, false);
    }

    #[test]
    fn a_number_is_no_text_and_a_list_no_value() {
        check("level = '3'", false);
        check("level < '4'", false);
        check("team = 3", false);
        check("roles = 'ops'", false);
        check("ok > false", false);
        check("team CONTAINS 'blue'", false);
    }

    #[test]
    fn a_claim_that_is_not_there_never_lets_anybody_in() {
        for test in [
            "= 'x'",
            "!= 'x'",
            "< 1",
            "LIKE '%'",
            "IN ['x']",
            "CONTAINS 'x'",
        ] {
            check(&format!("nothing {test}"), false);
            check(&format!("team.nothing {test}"), false);
            check(&format!("constructor.name {test}"), false);
            check(&format!("__proto__ {test}"), false);
        }
    }

    #[test]
    fn lists_are_looked_through() {
        check("roles CONTAINS 'ops'", true);
        check("roles CONTAINS 'op'", false);
        check("team IN ['red', 'blue']", true);
        check("level IN [1, 3]", true);
        check("team IN ['red']", false);
    }

    #[test]
    fn a_pattern_fits_the_whole_text() {
        check("team LIKE 'b%'", true);
        check("team LIKE 'l'", false);
        check("team LIKE '%l%'", true);
        check("team LIKE 'b_ue'", true);
        check("team LIKE 'b_e'", false);
        check("team LIKE 'blue%'", true);
        check("team LIKE '%'", true);
        check(r"team LIKE 'bl\_e'", false);
        check("team LIKE 'b.*'", false);
        check("level LIKE '3'", false);
    }

    #[test]
    fn and_binds_tighter_than_or_and_parentheses_tighter_still() {
        check("ok = TRUE OR ok = FALSE AND ok = FALSE", true);
        check("(ok = TRUE OR ok = FALSE) AND ok = FALSE", false);
        check("ok = FALSE AND ok = FALSE OR ok = TRUE", true);
        check("ok = FALSE AND (ok = FALSE OR ok = TRUE)", false);
        check("((ok = true)) and (team = 'blue')", true);
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_place() {
        refused("", 1, 1, "empty");
        refused("  \n ", 1, 1, "empty");
        refused("team", 1, 5, "expected `=`");
        refused("team = blue", 1, 8, "in quotes");
        refused("team = 'blue", 1, 8, "no closing quote");
        refused("team == 'blue'", 1, 7, "expected a value");
        refused(
            "team = 'blue' AND\n  AND ok = TRUE",
            2,
            3,
            "name of a claim",
        );
        refused("team = 'blue' ok = TRUE", 1, 15, "expected AND or OR");
        refused("(team = 'blue'", 1, 15, "expected `)`");
        refused("team = 'blue')", 1, 14, "expected AND or OR");
        refused("'blue' = team", 1, 1, "name of a claim");
        refused("team LIKE 3", 1, 11, "a text in quotes");
        refused("team IN 'blue'", 1, 9, "expected `[`");
        refused("team IN []", 1, 10, "expected a value");
        refused("team IN ['a' 'b']", 1, 14, "expected `,` or `]`");
        refused("NOT ok = TRUE", 1, 1, "WebdaQL has no NOT");
        refused("ok = TRUE LIMIT 3", 1, 11, "expected AND or OR");
        refused("level = 1.2.3", 1, 9, "not a number");
        refused("level = 1e5", 1, 9, "not a number");
        refused("a..b = 1", 1, 1, "not the name of a claim");
        refused("é = 1", 1, 1, "unexpected `é`");
        refused("team = 'é' & ok = 1", 1, 12, "unexpected `&`");
    }

    #[test]
    fn deep_nesting_is_refused_and_not_followed() {
        let deep = |depth: usize| "(".repeat(depth) + "ok = TRUE" + &")".repeat(depth);
        check(&deep(60), true);
        refused(&deep(100_000)[..9_000], 1, 65, "nested deeper");
        refused(&"x".repeat(20_000), 1, 1, "longer than");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[()\\[\\],'\"=!<>a-z.0-9 %_\\\\\n-]{0,60}|(AND|OR|IN|LIKE|CONTAINS|NOT|TRUE|[a-z=<>!()' 1]){0,30}|\\PC{0,40}") {
            if let Ok(permission) = Permission::read(&text) {
                permission.permits(&claims());
            }
        }

        #[test]
        fn a_pattern_without_wildcards_fits_itself(text in "[a-c%_]{0,12}", pattern in "[a-c]{0,12}") {
            let pieces: Vec<Piece> = pattern.chars().map(Piece::One).collect();
            prop_assert_eq!(is_like(&text, &pieces), text == pattern);
        }
    }
}
