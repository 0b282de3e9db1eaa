//! Tokens to a predicate, by sqlparser's PostgreSQL grammar and an allow-list over its tree.
//!
//! Must never let a node through that is not named here: `_ => refuse`. Called by the parser. sqlparser gets our tokens, not
//! the text, so nothing is read twice.

use sqlparser::ast::{
    BinaryOperator, CastKind, DataType, Expr as Sql, Function as SqlFunction, FunctionArg,
    FunctionArgExpr, FunctionArguments, ObjectNamePart, Spanned, TimezoneInfo, UnaryOperator,
    Value,
};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;
use sqlparser::tokenizer::{Location, Span, Token as SqlToken, TokenWithSpan};

use super::{Case, CastType, Comparison, Expr, Function, Literal, Polarity, Truth};
use crate::limits;
use crate::policy::text::diagnostic::{Located, Problem, did_you_mean};
use crate::policy::text::lexer::{Kind, Token};

/// Deepest predicate tree; printed with parentheses it stays under `limits::POLICY_DEPTH_MAX`.
const TREE_DEPTH_MAX: usize = limits::POLICY_DEPTH_MAX / 2 - 1;

/// sqlparser's own recursion, several steps per parenthesis.
const RECURSION_MAX: usize = limits::POLICY_DEPTH_MAX * 4;

/// Words that start or join something in SQL's expressions: a column of that name is quoted.
const SQL_WORDS: &[&str] = &[
    "all",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "at",
    "between",
    "bigint",
    "binary",
    "boolean",
    "both",
    "case",
    "cast",
    "ceil",
    "char",
    "character",
    "coalesce",
    "collate",
    "convert",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "current_user",
    "date",
    "datetime",
    "dec",
    "decimal",
    "default",
    "desc",
    "distinct",
    "div",
    "else",
    "end",
    "escape",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "floor",
    "for",
    "from",
    "full",
    "grant",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "inner",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "lambda",
    "lateral",
    "left",
    "like",
    "limit",
    "listagg",
    "localtime",
    "localtimestamp",
    "map",
    "match",
    "member",
    "natural",
    "next",
    "not",
    "notnull",
    "null",
    "nullif",
    "numeric",
    "offset",
    "on",
    "operator",
    "or",
    "order",
    "outer",
    "overlaps",
    "overlay",
    "position",
    "precision",
    "prior",
    "real",
    "regexp",
    "right",
    "rlike",
    "row",
    "select",
    "session_user",
    "setof",
    "similar",
    "smallint",
    "some",
    "struct",
    "substr",
    "substring",
    "table",
    "then",
    "time",
    "timestamp",
    "timestamptz",
    "to",
    "treat",
    "trim",
    "true",
    "try_cast",
    "try_convert",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "when",
    "where",
    "window",
    "with",
    "within",
    "xor",
];

/// Words PostgreSQL reserves (Appendix C): bare, they are no column, whatever sqlparser makes of them.
const RESERVED_WORDS: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "column",
    "constraint",
    "create",
    "current_catalog",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "from",
    "grant",
    "group",
    "having",
    "in",
    "initially",
    "intersect",
    "into",
    "is",
    "lateral",
    "leading",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "not",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "placing",
    "primary",
    "references",
    "returning",
    "select",
    "session_user",
    "some",
    "symmetric",
    "system_user",
    "table",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "when",
    "where",
    "window",
    "with",
];

/// Can a column of this name stand bare in a predicate?
pub(crate) fn is_plain_column(name: &str) -> bool {
    !SQL_WORDS.contains(&name) && !RESERVED_WORDS.contains(&name)
}

/// Reads the tokens of one predicate. The slice holds no [`Kind::End`].
///
/// # Errors
/// What is wrong, at the token where it is.
pub(crate) fn predicate(tokens: &[Token], end: usize) -> Result<Expr, Located> {
    check_bounds(tokens, end)?;
    let reader = Reader { tokens, end };
    let mut sql_tokens = Vec::with_capacity(tokens.len());
    for (n, token) in tokens.iter().enumerate() {
        let at = Location::new(1, n as u64 + 1);
        sql_tokens.push(TokenWithSpan::new(
            reader.sql_token(n, token)?,
            Span::new(at, at),
        ));
    }
    let dialect = PostgreSqlDialect {};
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(RECURSION_MAX)
        .with_tokens_with_locations(sql_tokens);
    let tree = parser
        .parse_expr()
        .map_err(|e| reader.syntax(&e.to_string()))?;
    let next = parser.peek_token();
    if next.token != SqlToken::EOF {
        let problem = Problem::new(format!("'{next}' was not expected here"));
        return Err((reader.offset(next.span), problem));
    }
    reader.condition(&tree, 0)
}

fn check_bounds(tokens: &[Token], end: usize) -> Result<(), Located> {
    let Some(first) = tokens.first() else {
        let problem = Problem::new("a predicate was expected after 'where'");
        return Err((end, problem.hint("as in: where region in (@user.region)")));
    };
    let joint = |t: &&Token| {
        !matches!(
            t.kind,
            Kind::Text(_) | Kind::Number(_) | Kind::Attribute(_) | Kind::Symbol(",")
        )
    };
    let joints = tokens.iter().filter(joint).count();
    if tokens.len() > limits::POLICY_PREDICATE_TOKENS_MAX
        || joints > limits::POLICY_PREDICATE_WORDS_MAX
    {
        let problem = Problem::new("this predicate is too long");
        return Err((first.start, problem.hint("split it into several policies")));
    }
    let mut depth = 0usize;
    for token in tokens {
        match token.kind {
            Kind::Symbol("(") => depth += 1,
            Kind::Symbol(")") => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limits::POLICY_DEPTH_MAX {
            return Err((token.start, Problem::new("parentheses nest too deep")));
        }
    }
    Ok(())
}

struct Reader<'a> {
    tokens: &'a [Token],
    end: usize,
}

type Read<T> = Result<T, Located>;

impl Reader<'_> {
    fn sql_token(&self, number: usize, token: &Token) -> Read<SqlToken> {
        let refuse = |what: String| Err((token.start, Problem::new(what)));
        Ok(match &token.kind {
            Kind::Word(word) if word.contains('-') => {
                let problem = Problem::new(format!("'{word}' is not a column's name"));
                return Err((
                    token.start,
                    problem.hint(format!("write \"{word}\" for a column of that name; arithmetic is not part of predicates")),
                ));
            }
            Kind::Word(word) => SqlToken::make_word(word, None),
            Kind::Quoted(name) if name.starts_with('@') => {
                return refuse(format!("a column named '{name}' cannot be used here"));
            }
            Kind::Quoted(name) => SqlToken::make_word(name, Some('"')),
            Kind::Text(text) => SqlToken::SingleQuotedString(text.clone()),
            Kind::Number(number) => SqlToken::Number(number.clone(), false),
            // Stands for the token itself, found again by its number.
            Kind::Attribute(_) | Kind::Tagged(_) => {
                SqlToken::make_word(&format!("@{number}"), Some('"'))
            }
            Kind::Symbol(symbol) => match *symbol {
                "(" => SqlToken::LParen,
                ")" => SqlToken::RParen,
                "," => SqlToken::Comma,
                "." => SqlToken::Period,
                "=" => SqlToken::Eq,
                "<>" | "!=" => SqlToken::Neq,
                "<" => SqlToken::Lt,
                "<=" => SqlToken::LtEq,
                ">" => SqlToken::Gt,
                ">=" => SqlToken::GtEq,
                "::" => SqlToken::DoubleColon,
                "-" => SqlToken::Minus,
                other => {
                    let problem = Problem::new(format!("'{other}' is not part of predicates"));
                    return Err((
                        token.start,
                        problem.hint("comparisons, and, or, not, in, between, is, like, casts and a few functions are"),
                    ));
                }
            },
            Kind::End => return refuse("the predicate ends here".to_owned()),
        })
    }

    fn offset(&self, span: Span) -> usize {
        let column = usize::try_from(span.start.column).unwrap_or(0);
        match column.checked_sub(1) {
            Some(n) => self.tokens.get(n).map_or(self.end, |t| t.start),
            None => self.end,
        }
    }

    /// sqlparser's words end in ` at Line: 1, Column: n`; the column is our token's number.
    fn syntax(&self, message: &str) -> Located {
        let plain = message.trim_start_matches("sql parser error: ");
        let (what, place) = plain.split_once(" at Line: ").unwrap_or((plain, ""));
        let column = place
            .rsplit("Column: ")
            .next()
            .and_then(|n| n.trim().parse::<usize>().ok());
        let offset = match column.and_then(|n| n.checked_sub(1)) {
            Some(n) => self.tokens.get(n).map_or(self.end, |t| t.start),
            None => self.end,
        };
        let what = if what.contains("ecursion") {
            "it nests too deep"
        } else {
            what.trim_end()
        };
        let mut words = what.chars();
        let lower = words
            .next()
            .map(|c| c.to_lowercase().chain(words).collect::<String>())
            .unwrap_or_default();
        (
            offset,
            Problem::new(format!(
                "this is not a predicate: {}",
                lower.replace("EOF", "the end")
            )),
        )
    }

    fn refuse<T>(&self, at: &Sql, what: impl Into<String>, hint: &str) -> Read<T> {
        let problem = Problem::new(what);
        let problem = if hint.is_empty() {
            problem
        } else {
            problem.hint(hint)
        };
        Err((self.offset(at.span()), problem))
    }

    fn deeper(&self, at: &Sql, depth: usize) -> Read<usize> {
        if depth >= TREE_DEPTH_MAX {
            return self.refuse(
                at,
                "this predicate nests too deep",
                "split it into several policies",
            );
        }
        Ok(depth + 1)
    }

    fn condition(&self, sql: &Sql, depth: usize) -> Read<Expr> {
        let sql = peel(sql);
        let deep = self.deeper(sql, depth)?;
        match sql {
            Sql::BinaryOp {
                op: op @ (BinaryOperator::And | BinaryOperator::Or),
                ..
            } => self.chain(sql, op, deep),
            Sql::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            } => Ok(Expr::Not(Box::new(self.condition(expr, deep)?))),
            Sql::BinaryOp { left, op, right } => match comparison(op) {
                Some(operator) => self.compare(sql, left, operator, right, deep),
                None => self.refuse(
                    sql,
                    format!("the operator '{op}' is not part of predicates"),
                    "",
                ),
            },
            Sql::IsDistinctFrom(left, right) => {
                self.compare(sql, left, Comparison::Distinct, right, deep)
            }
            Sql::IsNotDistinctFrom(left, right) => {
                self.compare(sql, left, Comparison::NotDistinct, right, deep)
            }
            Sql::InList {
                expr,
                list,
                negated,
            } => {
                let items = list
                    .iter()
                    .map(|i| self.item(i, deep))
                    .collect::<Read<Vec<_>>>()?;
                self.member(sql, expr, items, Polarity::of(*negated), deep)
            }
            Sql::Between {
                expr,
                negated,
                low,
                high,
            } => Ok(Expr::Between {
                value: Box::new(self.operand(expr, deep)?),
                low: Box::new(self.operand(low, deep)?),
                high: Box::new(self.operand(high, deep)?),
                polarity: Polarity::of(*negated),
            }),
            Sql::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char: None,
            } => self.like(expr, pattern, Case::Counts, *negated, deep),
            Sql::ILike {
                negated,
                any: false,
                expr,
                pattern,
                escape_char: None,
            } => self.like(expr, pattern, Case::Ignored, *negated, deep),
            Sql::IsNull(e) => self.is(self.operand(e, deep)?, Truth::Null, false),
            Sql::IsNotNull(e) => self.is(self.operand(e, deep)?, Truth::Null, true),
            Sql::IsTrue(e) => self.is(self.condition(e, deep)?, Truth::True, false),
            Sql::IsNotTrue(e) => self.is(self.condition(e, deep)?, Truth::True, true),
            Sql::IsFalse(e) => self.is(self.condition(e, deep)?, Truth::False, false),
            Sql::IsNotFalse(e) => self.is(self.condition(e, deep)?, Truth::False, true),
            Sql::IsUnknown(e) => self.is(self.condition(e, deep)?, Truth::Unknown, false),
            Sql::IsNotUnknown(e) => self.is(self.condition(e, deep)?, Truth::Unknown, true),
            Sql::Identifier(_) | Sql::Value(_) | Sql::Cast { .. } | Sql::Function(_) => {
                self.truth(sql, deep)
            }
            _ => self.other(sql),
        }
    }

    /// A value that stands where a condition is wanted.
    fn truth(&self, sql: &Sql, depth: usize) -> Read<Expr> {
        let value = self.operand(sql, depth)?;
        match value {
            Expr::Column(_) | Expr::Tagged(_) | Expr::Literal(Literal::Truth(_)) => Ok(value),
            Expr::Cast {
                to: CastType::Boolean,
                ..
            } => Ok(value),
            Expr::Call {
                function: Function::StartsWith | Function::Coalesce,
                ..
            } => Ok(value),
            _ => self.refuse(
                sql,
                "a condition was expected here, this is a value",
                "compare it with something",
            ),
        }
    }

    /// AND and OR chains lean left as deep as they are long; taken apart in a loop.
    fn chain(&self, sql: &Sql, op: &BinaryOperator, depth: usize) -> Read<Expr> {
        let mut stack = vec![sql];
        let mut terms = Vec::new();
        while let Some(next) = stack.pop() {
            match peel(next) {
                Sql::BinaryOp {
                    left,
                    op: inner,
                    right,
                } if inner == op => {
                    stack.push(right);
                    stack.push(left);
                }
                other => terms.push(self.condition(other, depth)?),
            }
        }
        Ok(if *op == BinaryOperator::And {
            Expr::And(terms)
        } else {
            Expr::Or(terms)
        })
    }

    fn is(&self, value: Expr, what: Truth, negated: bool) -> Read<Expr> {
        Ok(Expr::Is {
            value: Box::new(value),
            what,
            polarity: Polarity::of(negated),
        })
    }

    fn compare(
        &self,
        at: &Sql,
        left: &Sql,
        operator: Comparison,
        right: &Sql,
        depth: usize,
    ) -> Read<Expr> {
        let attribute = |sql: &Sql| match peel(sql) {
            Sql::Identifier(ident) => match self.reference(ident) {
                Some(Kind::Attribute(a)) => Some(Expr::Attribute(a.clone())),
                Some(_) | None => None,
            },
            _ => None,
        };
        let (value, set) = match (attribute(left), attribute(right)) {
            (None, None) => {
                return Ok(Expr::Compare {
                    left: Box::new(self.operand(left, depth)?),
                    operator,
                    right: Box::new(self.operand(right, depth)?),
                });
            }
            (Some(_), Some(_)) => {
                return self.refuse(
                    at,
                    "two attributes cannot be compared",
                    "compare a column with an attribute",
                );
            }
            (Some(set), None) => (right, set),
            (None, Some(set)) => (left, set),
        };
        let polarity = match operator {
            Comparison::Equal => Polarity::Plain,
            Comparison::Unequal => Polarity::Negated,
            _ => {
                let what = format!(
                    "an attribute is a set of values, '{}' does not compare sets",
                    operator.sql().to_lowercase()
                );
                return self.refuse(at, what, "use '=', '<>', 'in' or 'not in'");
            }
        };
        self.member(at, value, vec![set], polarity, depth)
    }

    fn member(
        &self,
        at: &Sql,
        value: &Sql,
        items: Vec<Expr>,
        polarity: Polarity,
        depth: usize,
    ) -> Read<Expr> {
        if items.is_empty() {
            return self.refuse(at, "the list after 'in' is empty", "");
        }
        Ok(Expr::In {
            value: Box::new(self.operand(value, depth)?),
            items,
            polarity,
        })
    }

    fn item(&self, sql: &Sql, depth: usize) -> Read<Expr> {
        if let Sql::Identifier(ident) = peel(sql)
            && let Some(Kind::Attribute(attribute)) = self.reference(ident)
        {
            return Ok(Expr::Attribute(attribute.clone()));
        }
        match self.operand(sql, depth)? {
            literal @ Expr::Literal(_) => Ok(literal),
            _ => self.refuse(
                sql,
                "a list after 'in' holds literals and attributes",
                "use '=' and 'or' for columns",
            ),
        }
    }

    fn like(
        &self,
        value: &Sql,
        pattern: &Sql,
        case: Case,
        negated: bool,
        depth: usize,
    ) -> Read<Expr> {
        let Expr::Literal(Literal::Text(text)) = self.operand(pattern, depth)? else {
            return self.refuse(pattern, "the pattern of 'like' is a string literal", "");
        };
        let escapes = text.chars().rev().take_while(|c| *c == '\\').count();
        if escapes % 2 == 1 {
            return self.refuse(
                pattern,
                "a pattern cannot end with its escape character '\\'",
                "",
            );
        }
        Ok(Expr::Like {
            value: Box::new(self.operand(value, depth)?),
            pattern: text,
            case,
            polarity: Polarity::of(negated),
        })
    }

    fn operand(&self, sql: &Sql, depth: usize) -> Read<Expr> {
        let sql = peel(sql);
        let deep = self.deeper(sql, depth)?;
        match sql {
            Sql::Identifier(ident) => match self.reference(ident) {
                Some(Kind::Tagged(path)) => Ok(Expr::Tagged(path.clone())),
                Some(_) => self.refuse(
                    sql,
                    "an attribute is a set of values and cannot stand here",
                    "as in: region = @user.region, or: region in (@user.region)",
                ),
                None if ident.quote_style.is_some() => Ok(Expr::Column(ident.value.clone())),
                None => {
                    let word = ident.value.to_ascii_lowercase();
                    if RESERVED_WORDS.contains(&word.as_str()) {
                        return self.refuse(
                            sql,
                            format!("'{word}' is a word of SQL, not a column"),
                            &format!("write \"{word}\" for a column of that name"),
                        );
                    }
                    Ok(Expr::Column(word))
                }
            },
            Sql::Value(value) => self.literal(sql, &value.value),
            Sql::UnaryOp {
                op: UnaryOperator::Minus,
                expr,
            } => match self.operand(expr, deep)? {
                Expr::Literal(Literal::Number(n)) if !n.starts_with('-') => {
                    Ok(Expr::Literal(Literal::Number(format!("-{n}"))))
                }
                _ => self.refuse(sql, "'-' stands before a number only", ""),
            },
            Sql::Cast {
                kind: CastKind::Cast | CastKind::DoubleColon,
                expr,
                data_type,
                format: None,
                ..
            } => self.cast(sql, expr, data_type, deep),
            Sql::TypedString(typed) if !typed.uses_odbc_syntax => {
                let value = self.literal(sql, &typed.value.value)?;
                Ok(Expr::Cast {
                    value: Box::new(value),
                    to: self.cast_type(sql, &typed.data_type)?,
                })
            }
            Sql::Function(function) => self.call(sql, function, deep),
            Sql::Substring {
                expr,
                substring_from: Some(from),
                substring_for,
                ..
            } => {
                let mut arguments = vec![self.operand(expr, deep)?, self.operand(from, deep)?];
                if let Some(count) = substring_for {
                    arguments.push(self.operand(count, deep)?);
                }
                self.called(sql, Function::Substr, arguments)
            }
            Sql::CompoundIdentifier(_) => self.refuse(
                sql,
                "a column is named alone, without its table",
                "as in: region = 'EU'",
            ),
            _ => self.other(sql),
        }
    }

    fn other<T>(&self, sql: &Sql) -> Read<T> {
        let what = match sql {
            Sql::Subquery(_) | Sql::InSubquery { .. } | Sql::Exists { .. } => {
                "a subquery is not part of predicates"
            }
            Sql::Case { .. } => "'case' is not part of predicates",
            Sql::BinaryOp {
                op: BinaryOperator::And | BinaryOperator::Or,
                ..
            }
            | Sql::UnaryOp {
                op: UnaryOperator::Not,
                ..
            } => "a value was expected here, this is a condition",
            Sql::Like { .. } | Sql::ILike { .. } => "'like' is written without 'any' and 'escape'",
            Sql::Cast { .. } => "this cast is not part of predicates",
            _ => "this is not part of predicates",
        };
        self.refuse(
            sql,
            what,
            "comparisons, and, or, not, in, between, is, like, literals, casts and a few functions are",
        )
    }

    fn reference(&self, ident: &sqlparser::ast::Ident) -> Option<&Kind> {
        ident.quote_style?;
        let number = ident.value.strip_prefix('@')?.parse::<usize>().ok()?;
        self.tokens.get(number).map(|t| &t.kind)
    }

    fn literal(&self, at: &Sql, value: &Value) -> Read<Expr> {
        match value {
            Value::SingleQuotedString(text) => Ok(Expr::Literal(Literal::Text(text.clone()))),
            Value::Number(number, false) => Ok(Expr::Literal(Literal::Number(number.clone()))),
            Value::Boolean(truth) => Ok(Expr::Literal(Literal::Truth(*truth))),
            Value::Null => self.refuse(
                at,
                "nothing is equal to NULL",
                "use 'is null' or 'is not null'",
            ),
            _ => self.refuse(
                at,
                "this kind of literal is not part of predicates",
                "write a plain string or a number",
            ),
        }
    }

    fn cast(&self, at: &Sql, value: &Sql, data_type: &DataType, depth: usize) -> Read<Expr> {
        Ok(Expr::Cast {
            value: Box::new(self.operand(value, depth)?),
            to: self.cast_type(at, data_type)?,
        })
    }

    fn cast_type(&self, at: &Sql, data_type: &DataType) -> Read<CastType> {
        use sqlparser::ast::ExactNumberInfo;
        Ok(match data_type {
            DataType::Text => CastType::Text,
            DataType::SmallInt(None) | DataType::Int2(None) => CastType::SmallInt,
            DataType::Integer(None) | DataType::Int(None) | DataType::Int4(None) => {
                CastType::Integer
            }
            DataType::BigInt(None) | DataType::Int8(None) => CastType::BigInt,
            DataType::Numeric(ExactNumberInfo::None) | DataType::Decimal(ExactNumberInfo::None) => {
                CastType::Numeric
            }
            DataType::Boolean | DataType::Bool => CastType::Boolean,
            DataType::Date => CastType::Date,
            DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                CastType::Timestamp
            }
            DataType::Timestamp(None, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => {
                CastType::TimestampTz
            }
            DataType::Uuid => CastType::Uuid,
            other => {
                let known = CastType::ALL.map(CastType::word).join(", ");
                return self.refuse(
                    at,
                    format!(
                        "a cast to '{}' is not part of predicates",
                        other.to_string().to_lowercase()
                    ),
                    &format!("known are {known}"),
                );
            }
        })
    }

    fn call(&self, at: &Sql, call: &SqlFunction, depth: usize) -> Read<Expr> {
        let name = match call.name.0.as_slice() {
            [ObjectNamePart::Identifier(name)] => name,
            [
                ObjectNamePart::Identifier(schema),
                ObjectNamePart::Identifier(name),
            ] if schema.value.eq_ignore_ascii_case("pg_catalog") => name,
            _ => return self.refuse(at, "only built-in functions are part of predicates", ""),
        };
        let word = name.value.to_ascii_lowercase();
        let Some(function) = function(&word) else {
            let known = Function::ALL.map(Function::word);
            let hint = did_you_mean(&word, known)
                .unwrap_or_else(|| format!("known are {}", known.join(", ")));
            return self.refuse(
                at,
                format!("the function '{word}' is not part of predicates"),
                &hint,
            );
        };
        let plain = call.filter.is_none()
            && call.over.is_none()
            && call.null_treatment.is_none()
            && call.within_group.is_empty()
            && !call.uses_odbc_syntax
            && call.parameters == FunctionArguments::None;
        let FunctionArguments::List(list) = &call.args else {
            return self.refuse(
                at,
                format!("'{word}' takes its arguments in parentheses"),
                "",
            );
        };
        if !plain || list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
            return self.refuse(at, format!("'{word}' takes plain arguments only"), "");
        }
        let mut arguments = Vec::with_capacity(list.args.len());
        for argument in &list.args {
            let FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) = argument else {
                return self.refuse(at, format!("'{word}' takes plain arguments only"), "");
            };
            arguments.push(self.operand(value, depth)?);
        }
        self.called(at, function, arguments)
    }

    fn called(&self, at: &Sql, function: Function, arguments: Vec<Expr>) -> Read<Expr> {
        let (least, most) = function.arity();
        if !(least..=most).contains(&arguments.len()) {
            let count = if least == most {
                least.to_string()
            } else {
                format!("{least} to {most}")
            };
            let what = format!(
                "'{}' takes {count} arguments, not {}",
                function.word(),
                arguments.len()
            );
            return self.refuse(at, what, "");
        }
        Ok(Expr::Call {
            function,
            arguments,
        })
    }
}

/// Parentheses mean nothing in a tree. A loop: they nest.
fn peel(mut sql: &Sql) -> &Sql {
    while let Sql::Nested(inner) = sql {
        sql = inner;
    }
    sql
}

fn comparison(op: &BinaryOperator) -> Option<Comparison> {
    Some(match op {
        BinaryOperator::Eq => Comparison::Equal,
        BinaryOperator::NotEq => Comparison::Unequal,
        BinaryOperator::Lt => Comparison::Less,
        BinaryOperator::LtEq => Comparison::LessOrEqual,
        BinaryOperator::Gt => Comparison::Greater,
        BinaryOperator::GtEq => Comparison::GreaterOrEqual,
        _ => return None,
    })
}

fn function(word: &str) -> Option<Function> {
    match word {
        "substring" => Some(Function::Substr),
        "char_length" | "character_length" => Some(Function::Length),
        _ => Function::ALL.into_iter().find(|f| f.word() == word),
    }
}

#[cfg(test)]
mod tests {
    use super::super::print;
    use super::*;
    use crate::policy::text::lexer;

    fn read(text: &str) -> Result<String, String> {
        let mut tokens = lexer::tokens(text).map_err(|e| e[0].1.message.clone())?;
        tokens.pop();
        predicate(&tokens, text.len())
            .map(|e| print::predicate(&e))
            .map_err(|(at, p)| format!("{at}: {}", p.message))
    }

    #[test]
    fn what_is_listed_is_read() {
        for (given, printed) in [
            ("Region = 'EU'", "region = 'EU'"),
            ("region in (@user.region)", "region in (@user.region)"),
            ("region = @user.region", "region in (@user.region)"),
            ("@user.region <> region", "region not in (@user.region)"),
            ("a = 1 and b = 2 and c = 3", "a = 1 and b = 2 and c = 3"),
            ("a = 1 and (b = 2 and c = 3)", "a = 1 and b = 2 and c = 3"),
            ("a = 1 or b = 2 and c = 3", "a = 1 or (b = 2 and c = 3)"),
            ("not a = 1 and b = 2", "(not (a = 1)) and b = 2"),
            ("a is not null", "a is not null"),
            ("a not between -1 and 2.5", "a not between -1 and 2.5"),
            (
                "a like 'x%' or a not ilike '%y'",
                "a like 'x%' or a not ilike '%y'",
            ),
            (
                "d::date >= date '2024-01-01'",
                "cast(d as date) >= cast('2024-01-01' as date)",
            ),
            (
                "lower(a) = 'x' and left(b, 2) = 'y'",
                "lower(a) = 'x' and left(b, 2) = 'y'",
            ),
            ("SUBSTRING(a, 1, 2) = 'x'", "substr(a, 1, 2) = 'x'"),
            (
                "\"Order\" is distinct from 'x'",
                "\"Order\" is distinct from 'x'",
            ),
            (
                "@tagged(PII.Email) = @user.id",
                "@tagged(PII.Email) in (@user.id)",
            ),
            ("active", "active"),
            ("true", "true"),
            ("(a = 1) is not true", "(a = 1) is not true"),
            (
                "a in ('x', 'y', @user.groups)",
                "a in ('x', 'y', @user.groups)",
            ),
            ("coalesce(a, 'x') = 'x'", "coalesce(a, 'x') = 'x'"),
        ] {
            assert_eq!(read(given).as_deref(), Ok(printed), "{given}");
            assert_eq!(read(printed).as_deref(), Ok(printed), "{printed}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for bad in [
            "",
            "a =",
            "a = = b",
            "(a = 1",
            "a = 1)",
            "a = 1 b",
            "a = 1; drop table x",
            "1",
            "'x'",
            "a = null",
            "null",
            "a in ()",
            "a in (select b from c)",
            "exists (select 1)",
            "(select true)",
            "a = (select 1)",
            "t.a = 1",
            "a.b.c = 1",
            "a + 1 = 2",
            "a - 1 = 2",
            "a || b = 'x'",
            "a -> 'x' = 'y'",
            "a @> b",
            "a ~ 'x'",
            "a similar to 'x'",
            "a = any(b)",
            "a = all (array[1])",
            "array[1] = a",
            "a[1] = 2",
            "case when a then b else c end",
            "pg_sleep(1)",
            "lower(a)",
            "now() > a",
            "current_user = a",
            "session_user = 'x'",
            "user = 'x'",
            "current_date > d",
            "public.f(a) = 1",
            "lower(distinct a) = 'x'",
            "lower(a) over () = 'x'",
            "lower(a, b) = 'x'",
            "left(a) = 'x'",
            "count(*) > 1",
            "lower(x => a) = 'x'",
            "a::regclass = 1",
            "a::varchar(3) = 'x'",
            "a::text[] = 'x'",
            "try_cast(a as text) = 'x'",
            "a collate \"C\" = 'x'",
            "a at time zone 'x' = b",
            "extract(year from a) = 1",
            "interval '1 day' = a",
            "a like b",
            "a like 'x\\'",
            "a like 'x' escape '!'",
            "a like any ('x')",
            "-a = 1",
            "a < @user.level",
            "@user.a = @user.b",
            "@user.a",
            "@user.a is null",
            "lower(@user.a) = 'x'",
            "@user.a in ('x')",
            "@user.a between 1 and 2",
            "a in (b)",
            "(a = 1) = true",
            "(a, b) = (1, 2)",
            "row(1) = a",
            "a = $1",
            "\"@0\" = 'x'",
            "x'ff' = a",
            "a is json",
            "a overlaps b",
            "not",
            "and",
            "a and",
            "(a = 1 and b = 2) = c",
            "trim(a) = 'x'",
            "nullif(a, b) = 1",
            "a = 1 union select 2",
            "a ->> 'b' = 'c'",
            "a operator(pg_catalog.=) b",
            "a-b = 1",
        ] {
            assert!(read(bad).is_err(), "{bad}: {:?}", read(bad));
        }
    }

    #[test]
    fn depth_and_length_are_bounded() {
        let deep = |n: usize| format!("{}a = 1{}", "(".repeat(n), ")".repeat(n));
        assert!(read(&deep(60)).is_ok());
        assert!(read(&deep(65)).is_err());
        assert!(read(&deep(100_000)).is_err());
        assert!(read(&format!("{}a = 1", "not ".repeat(700))).is_err());
        assert!(read(&format!("{}1 = 1", "- ".repeat(700))).is_err());
        assert!(read(&format!("a = 1{}", " and a = 1".repeat(200))).is_ok());
        assert!(read(&format!("a = 1{}", " and a = 1".repeat(100_000))).is_err());
        assert!(read(&format!("a{}", "::text".repeat(300))).is_err());
        let list = vec!["'x'"; 4_000].join(", ");
        assert!(read(&format!("a in ({list})")).is_ok());
        assert!(read(&format!("a{} = 1", " is null".repeat(200))).is_err());
    }

    #[test]
    fn errors_stand_where_they_are() {
        assert_eq!(
            read("a = 1 and pg_sleep(2)"),
            Err("10: the function 'pg_sleep' is not part of predicates".into())
        );
        assert!(read("a = 1 and b = null").is_err_and(|e| e.starts_with("14: ")));
        assert!(read("a = 1 and").is_err_and(|e| e.starts_with("9: ")));
    }
}
