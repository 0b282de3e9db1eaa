//! Which rows a sentence shows.
//!
//! Must never accept what the printer cannot print back. Called by the sentences in `parser`.

use super::diagnostic::Problem;
use super::lexer::Kind;
use super::parser::{Parsed, Parser};
use super::who::Follows;
use crate::limits;
use crate::policy::model::{
    Branch, EventColumn, Hop, Match, Missing, Rows, RowsShown, Rule, Share, Span, SpanUnit, TableName,
    Target, Through, Window, WindowSide,
};
use crate::policy::predicate::{Expr, Named, Predicate};

/// Words that start what is shown.
const SHOWN: [&str; 8] = ["where", "whose", "newer", "older", "only", "through", "all", "none"];

impl Parser<'_> {
    pub(super) fn rows(&mut self) -> Parsed<Rule> {
        self.expect("rows")?;
        if !self.accept("of") {
            return self.wanted("'of' and the tables", "as in: show rows of tables tagged Sales where …");
        }
        let of = self.tables()?;
        let lookups = if self.accept("using") { self.lookups()? } else { Vec::new() };
        let mut branches = Vec::new();
        let otherwise = if self.sees("who") {
            while self.accept("who") {
                let who = self.who_described(Follows::NoMask)?;
                branches.push(Branch { who, shown: self.rows_shown()? });
            }
            if self.accept("otherwise") { self.rows_shown()? } else { RowsShown::None }
        } else if ["all", "none"].iter().any(|w| self.sees(w)) || !SHOWN.iter().any(|w| self.sees(w)) {
            return self.expected(&["where", "whose", "newer", "older", "only", "through", "who", "using"]);
        } else {
            self.rows_shown()?
        };
        let missing = self.missing()?;
        let scope = self.scope()?;
        let rows = Rows { of, lookups, branches, otherwise, missing, scope };
        self.lookups_are_named(&rows)?;
        Ok(Rule::Rows(rows))
    }

    fn lookups(&mut self) -> Parsed<Vec<TableName>> {
        if !self.accept("lookup") && !self.accept("lookups") {
            return self.expected(&["lookup"]);
        }
        self.list(&[], Self::table_name)
    }

    fn missing(&mut self) -> Parsed<Missing> {
        if !self.accept("on") {
            return Ok(Missing::Deny);
        }
        self.expect("missing")?;
        if self.accept("skip") {
            Ok(Missing::Skip)
        } else if self.accept("deny") {
            Ok(Missing::Deny)
        } else {
            self.expected(&["skip", "deny"])
        }
    }

    fn rows_shown(&mut self) -> Parsed<RowsShown> {
        let place = self.place();
        if self.accept("where") {
            Ok(RowsShown::Where(self.predicate()?))
        } else if self.accept("all") {
            Ok(RowsShown::All)
        } else if self.accept("none") {
            Ok(RowsShown::None)
        } else if self.accept("whose") {
            self.whose()
        } else if self.accept("newer") {
            self.window(WindowSide::Newer, place)
        } else if self.accept("older") {
            self.window(WindowSide::Older, place)
        } else if self.accept("only") {
            if self.accept("for") {
                self.expect("purpose")?;
                return Ok(RowsShown::Purpose(self.names(Self::purpose_name)?));
            }
            self.share(place)
        } else if self.accept("through") {
            self.through(place)
        } else {
            self.expected(&SHOWN)
        }
    }

    /// `whose Region matches region | id | groups`
    fn whose(&mut self) -> Parsed<RowsShown> {
        let tag = self.tag()?;
        self.expect("matches")?;
        let values = match self.kind() {
            Kind::Word(word) if word == "id" => Named::Id,
            Kind::Word(word) if word == "groups" => Named::Groups,
            _ => Named::Attribute(String::new()),
        };
        if values != Named::Attribute(String::new()) {
            self.advance();
            return Ok(RowsShown::Whose(Match { tag, values }));
        }
        let start = self.offset();
        let name = self.name("an attribute, 'id' or 'groups'")?;
        if matches!(name.as_str(), "id" | "groups") || name.contains("::") {
            return Err((start, Problem::new(format!("'{name}' cannot be an attribute's name"))));
        }
        Ok(RowsShown::Whose(Match { tag, values: Named::Attribute(name) }))
    }

    /// `than 90 days by created_at`
    fn window(&mut self, side: WindowSide, place: crate::policy::model::Place) -> Parsed<RowsShown> {
        self.expect("than")?;
        let most = limits::POLICY_SPAN_MAX;
        let count = match self.kind() {
            Kind::Number(number) => number.parse::<u32>().ok().filter(|n| (1..=most).contains(n)),
            _ => None,
        };
        let Some(count) = count else {
            return self.wanted(
                &format!("a whole number from 1 to {most}"),
                "as in: newer than 90 days by created_at",
            );
        };
        self.advance();
        let unit = SpanUnit::ALL.into_iter().find(|u| {
            let word = u.word();
            self.sees(word) || self.sees(word.strip_suffix('s').unwrap_or(word))
        });
        let Some(unit) = unit else {
            return self.expected(&SpanUnit::ALL.map(SpanUnit::word));
        };
        self.advance();
        self.expect("by")?;
        let by = self.event_column()?;
        Ok(RowsShown::Window(Window { side, span: Span { count, unit }, by, place }))
    }

    fn event_column(&mut self) -> Parsed<EventColumn> {
        if let Kind::Tagged(path) = self.kind() {
            self.advance();
            return Ok(EventColumn::Tagged(path.clone()));
        }
        Ok(EventColumn::Column(self.identifier("a column, or @tagged(…)")?))
    }

    /// `10 % by customer_id`
    fn share(&mut self, place: crate::policy::model::Place) -> Parsed<RowsShown> {
        let hint = "as in: only 10 % by customer_id, or: only for purpose Marketing";
        let percent = match self.kind() {
            Kind::Number(number) if is_percent(number) => number.clone(),
            _ => return self.wanted("a number above 0 and below 100", hint),
        };
        self.advance();
        self.expect_symbol("%")?;
        let by = if self.accept("by") { Some(self.event_column()?) } else { None };
        Ok(RowsShown::Share(Share { percent, by, place }))
    }

    /// `orders.customer_id [to public.customers.id] [then …] where …`
    fn through(&mut self, place: crate::policy::model::Place) -> Parsed<RowsShown> {
        let mut hops = vec![self.hop()?];
        while self.accept("then") {
            if hops.len() >= limits::POLICY_HOPS_MAX {
                let most = limits::POLICY_HOPS_MAX;
                return Err((
                    self.offset(),
                    Problem::new(format!("a policy goes through at most {most} foreign keys")),
                ));
            }
            hops.push(self.hop()?);
        }
        if !["where", "whose", "newer", "older"].iter().any(|w| self.sees(w)) {
            return self.expected(&["where", "whose", "newer", "older", "then", "to"]);
        }
        let shown = Box::new(self.rows_shown()?);
        Ok(RowsShown::Through(Through { hops, shown, place }))
    }

    fn hop(&mut self) -> Parsed<Hop> {
        let table = self.identifier("the table a foreign key starts from")?;
        if !self.accept_symbol(".") {
            return self.wanted("'.' and the foreign key's column", "as in: through orders.customer_id");
        }
        let column = self.identifier("the foreign key's column")?;
        if matches!(self.kind(), Kind::Symbol(".")) {
            return self
                .wanted("the end of the foreign key", "it is named as table.column, without a schema");
        }
        let to = if self.accept("to") {
            let name = self.column_name()?;
            let Some(relation) = name.relation else {
                return self.wanted("'.' after the schema", "the parent is named as schema.table.column");
            };
            Some(Target { relation, column: name.column })
        } else {
            None
        };
        Ok(Hop { table, column, to })
    }

    /// Every table a predicate looks into must stand after `using lookup`.
    fn lookups_are_named(&self, rows: &Rows) -> Parsed<()> {
        for shown in rows.all_shown() {
            let inner = match shown {
                RowsShown::Through(through) => &through.shown,
                other => other,
            };
            if let RowsShown::Where(predicate) = inner {
                named_in(predicate, &rows.lookups)?;
            }
        }
        Ok(())
    }
}

fn named_in(predicate: &Predicate, lookups: &[TableName]) -> Parsed<()> {
    for expr in predicate.expr.nodes() {
        if let Expr::Lookup { table, .. } = expr
            && !lookups.iter().any(|l| l.relation == *table)
        {
            let problem = Problem::new(format!("the policy does not name '{table}' as a lookup table"));
            let hint = format!("write: show rows of … using lookup {table} where …");
            return Err((predicate.place.offset, problem.hint(hint)));
        }
    }
    Ok(())
}

/// Above 0, below 100, at most three digits after the point.
fn is_percent(number: &str) -> bool {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let above = number.bytes().any(|b| matches!(b, b'1'..=b'9'));
    above && fraction.len() <= 3 && whole.len() <= 2
}
