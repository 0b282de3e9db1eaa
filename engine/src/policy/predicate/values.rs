//! The values inside predicates: columns, references, literals, casts, calls.
//!
//! Must never let a node through that is not named here: `_ => refuse`. The other half of `read`.

use sqlparser::ast::{
    BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr as Sql, Function as SqlFunction, FunctionArg,
    FunctionArgExpr, FunctionArguments, Ident, ObjectNamePart, TimezoneInfo, UnaryOperator, Value,
};

use super::read::{Form, Read, Reader, peel};
use super::{CastType, Expr, Function, Literal, vocabulary};
use crate::policy::text::diagnostic::did_you_mean;
use crate::policy::text::lexer::Kind;

impl Reader<'_> {
    pub(super) fn operand(&self, sql: &Sql, depth: usize) -> Read<Expr> {
        let sql = peel(sql);
        let deep = self.deeper(sql, depth)?;
        match sql {
            Sql::Identifier(ident) => self.identifier(sql, ident),
            Sql::Value(value) => self.literal(sql, &value.value),
            Sql::UnaryOp { op: UnaryOperator::Minus, expr } => match self.operand(expr, deep)? {
                Expr::Literal(Literal::Number(n)) if !n.starts_with('-') => {
                    Ok(Expr::Literal(Literal::Number(format!("-{n}"))))
                }
                _ => self.refuse(sql, "'-' stands before a number only", ""),
            },
            Sql::Cast {
                kind: CastKind::Cast | CastKind::DoubleColon, expr, data_type, format: None, ..
            } => self.cast(sql, expr, data_type, deep),
            Sql::TypedString(typed) if !typed.uses_odbc_syntax => {
                let value = self.literal(sql, &typed.value.value)?;
                Ok(Expr::Cast { value: Box::new(value), to: self.cast_type(sql, &typed.data_type)? })
            }
            Sql::Function(function) => self.call(sql, function, deep),
            Sql::BinaryOp { op: BinaryOperator::StringConcat, .. } if self.form == Form::Formula => {
                self.concat(sql, deep)
            }
            Sql::Substring { expr, substring_from: Some(from), substring_for, .. } => {
                let mut arguments = vec![self.operand(expr, deep)?, self.operand(from, deep)?];
                if let Some(count) = substring_for {
                    arguments.push(self.operand(count, deep)?);
                }
                self.called(sql, Function::Substr, arguments)
            }
            Sql::CompoundIdentifier(_) => {
                self.refuse(sql, "a column is named alone, without its table", "as in: region = 'EU'")
            }
            _ => self.other(sql),
        }
    }

    /// Chains of `||` lean left as deep as they are long; taken apart in a loop.
    fn concat(&self, sql: &Sql, depth: usize) -> Read<Expr> {
        let mut stack = vec![sql];
        let mut terms = Vec::new();
        while let Some(next) = stack.pop() {
            match peel(next) {
                Sql::BinaryOp { left, op: BinaryOperator::StringConcat, right } => {
                    stack.push(right);
                    stack.push(left);
                }
                other => terms.push(self.operand(other, depth)?),
            }
        }
        Ok(Expr::Concat(terms))
    }

    fn identifier(&self, sql: &Sql, ident: &Ident) -> Read<Expr> {
        match self.reference(ident) {
            Some(Kind::Tagged(path)) => Ok(Expr::Tagged(path.clone())),
            Some(Kind::Masked) if self.form == Form::Formula => Ok(Expr::Masked),
            Some(Kind::Masked) => self.refuse(
                sql,
                "'@column' stands in a 'custom' mask only",
                "name the column, or the tag it carries as in @tagged(Region)",
            ),
            Some(_) => self.refuse(
                sql,
                "an attribute is a set of values and cannot stand here",
                "as in: region = @user.region, or: region in (@user.region)",
            ),
            None if ident.quote_style.is_some() => Ok(Expr::Column(ident.value.clone())),
            None => {
                let word = ident.value.to_ascii_lowercase();
                if vocabulary::is_reserved(&word) {
                    return self.refuse(
                        sql,
                        format!("'{word}' is a word of SQL, not a column"),
                        &format!("write \"{word}\" for a column of that name"),
                    );
                }
                Ok(Expr::Column(word))
            }
        }
    }

    fn literal(&self, at: &Sql, value: &Value) -> Read<Expr> {
        match value {
            Value::SingleQuotedString(text) => Ok(Expr::Literal(Literal::Text(text.clone()))),
            Value::Number(number, false) => Ok(Expr::Literal(Literal::Number(number.clone()))),
            Value::Boolean(truth) => Ok(Expr::Literal(Literal::Truth(*truth))),
            Value::Null => self.refuse(at, "nothing is equal to NULL", "use 'is null' or 'is not null'"),
            _ => self.refuse(
                at,
                "this kind of literal is not part of predicates",
                "write a plain string or a number",
            ),
        }
    }

    fn cast(&self, at: &Sql, value: &Sql, data_type: &DataType, depth: usize) -> Read<Expr> {
        Ok(Expr::Cast { value: Box::new(self.operand(value, depth)?), to: self.cast_type(at, data_type)? })
    }

    fn cast_type(&self, at: &Sql, data_type: &DataType) -> Read<CastType> {
        Ok(match data_type {
            DataType::Text => CastType::Text,
            DataType::SmallInt(None) | DataType::Int2(None) => CastType::SmallInt,
            DataType::Integer(None) | DataType::Int(None) | DataType::Int4(None) => CastType::Integer,
            DataType::BigInt(None) | DataType::Int8(None) => CastType::BigInt,
            DataType::Numeric(ExactNumberInfo::None) | DataType::Decimal(ExactNumberInfo::None) => {
                CastType::Numeric
            }
            DataType::Boolean | DataType::Bool => CastType::Boolean,
            DataType::Date => CastType::Date,
            DataType::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
                CastType::Timestamp
            }
            DataType::Timestamp(None, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone) => CastType::TimestampTz,
            DataType::Uuid => CastType::Uuid,
            other => {
                let known = CastType::ALL.map(CastType::word).join(", ");
                return self.refuse(
                    at,
                    format!("a cast to '{}' is not part of predicates", other.to_string().to_lowercase()),
                    &format!("known are {known}"),
                );
            }
        })
    }

    fn call(&self, at: &Sql, call: &SqlFunction, depth: usize) -> Read<Expr> {
        let name = match call.name.0.as_slice() {
            [ObjectNamePart::Identifier(name)] => name,
            [ObjectNamePart::Identifier(schema), ObjectNamePart::Identifier(name)]
                if schema.value.eq_ignore_ascii_case("pg_catalog") =>
            {
                name
            }
            _ => return self.refuse(at, "only built-in functions are part of predicates", ""),
        };
        let word = name.value.to_ascii_lowercase();
        let Some(function) = function(&word) else {
            let known = Function::ALL.map(Function::word);
            let hint =
                did_you_mean(&word, known).unwrap_or_else(|| format!("known are {}", known.join(", ")));
            return self.refuse(at, format!("the function '{word}' is not part of predicates"), &hint);
        };
        let arguments = self.arguments(at, call, &word, depth)?;
        self.called(at, function, arguments)
    }

    fn arguments(&self, at: &Sql, call: &SqlFunction, word: &str, depth: usize) -> Read<Vec<Expr>> {
        let plain = call.filter.is_none()
            && call.over.is_none()
            && call.null_treatment.is_none()
            && call.within_group.is_empty()
            && !call.uses_odbc_syntax
            && call.parameters == FunctionArguments::None;
        let FunctionArguments::List(list) = &call.args else {
            return self.refuse(at, format!("'{word}' takes its arguments in parentheses"), "");
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
        Ok(arguments)
    }

    fn called(&self, at: &Sql, function: Function, arguments: Vec<Expr>) -> Read<Expr> {
        let (least, most) = function.arity();
        if !(least..=most).contains(&arguments.len()) {
            let count = if least == most { least.to_string() } else { format!("{least} to {most}") };
            let what = format!("'{}' takes {count} arguments, not {}", function.word(), arguments.len());
            return self.refuse(at, what, "");
        }
        Ok(Expr::Call { function, arguments })
    }
}

fn function(word: &str) -> Option<Function> {
    match word {
        "substring" => Some(Function::Substr),
        "char_length" | "character_length" => Some(Function::Length),
        _ => Function::ALL.into_iter().find(|f| f.word() == word),
    }
}
