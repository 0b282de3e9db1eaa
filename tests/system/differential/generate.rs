//! Queries from a seed: joins, sub-selects, aggregates, set operations, windows, CTEs, LATERAL, correlation.
//!
//! Each has one right answer as a multiset of rows: LIMIT stands below an order by every column, windows give peers the same
//! value, and numbers of one column have one scale. Must never use a function of the clock or of chance.

/// What a column holds; whole numbers and decimals stay apart, so that equal values look alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Decimal,
    Text,
    Date,
}
use Kind::{Date, Decimal, Int, Text};

#[derive(Debug, Clone)]
struct Column {
    sql: String,
    kind: Kind,
}

/// Tables of the laboratory, with the columns that policy does not deny.
const TABLES: [(&str, &[(&str, Kind)]); 4] = [
    (
        "people",
        &[
            ("id", Int),
            ("name", Text),
            ("email", Text),
            ("region", Text),
            ("born", Date),
            ("score", Int),
            ("boss", Int),
        ],
    ),
    (
        "sales",
        &[
            ("id", Int),
            ("person_id", Int),
            ("product_id", Int),
            ("amount", Decimal),
            ("qty", Int),
            ("sold", Date),
            ("channel", Text),
            ("note", Text),
        ],
    ),
    ("products", &[("id", Int), ("title", Text), ("price", Decimal), ("category", Text), ("since", Date)]),
    ("visits", &[("person_id", Int), ("day", Date), ("page", Text), ("seconds", Int)]),
];
const WORDS: [&str; 12] =
    ["EU", "US", "APAC", "web", "shop", "internal", "home", "toys", "tools", "REDACTED", "a%", "%e%"];

/// A query and what its columns hold.
struct Query {
    sql: String,
    kinds: Vec<Kind>,
}

/// The generator; xorshift64*, so that a seed means the same query everywhere.
pub(crate) struct Generator {
    state: u64,
    aliases: u32,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, aliases: 0 }
    }

    fn below(&mut self, end: usize) -> usize {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let random = self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(random).unwrap_or(0) % end.max(1)
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn alias(&mut self, letter: char) -> String {
        self.aliases += 1;
        format!("{letter}{}", self.aliases)
    }

    /// One whole statement.
    pub(crate) fn statement(&mut self) -> String {
        self.aliases = 0;
        if self.one_in(5) {
            let name = self.alias('w');
            let inner = self.query(1, &[]);
            let names: Vec<String> = (1..=inner.kinds.len()).map(|n| format!("c{n}")).collect();
            let scope: Vec<Column> = names
                .iter()
                .zip(&inner.kinds)
                .map(|(c, kind)| Column { sql: format!("{name}.{c}"), kind: *kind })
                .collect();
            let materialized = self.pick(&["", "MATERIALIZED ", "NOT MATERIALIZED "]);
            let list = names.join(", ");
            let body = self.select(&name, &scope, 1, &[]);
            return format!("WITH {name}({list}) AS {materialized}({}) {}", inner.sql, body.sql);
        }
        self.query(2, &[]).sql
    }

    fn query(&mut self, depth: usize, outer: &[Column]) -> Query {
        if depth > 0 && self.one_in(5) {
            return self.set_operation(depth, outer);
        }
        let (from, scope) = self.from(depth, outer);
        self.select(&from, &scope, depth, outer)
    }

    fn set_operation(&mut self, depth: usize, outer: &[Column]) -> Query {
        let kinds: Vec<Kind> =
            (0..1 + self.below(3)).map(|_| self.pick(&[Int, Text, Date, Decimal])).collect();
        let mut arms = Vec::new();
        for _ in 0..2 + self.below(2) {
            let (from, scope) = self.from(depth - 1, outer);
            let list: Vec<String> = kinds.iter().map(|k| self.value(*k, &scope, 1)).collect();
            let condition = self.condition(&scope, depth - 1);
            arms.push(format!("SELECT {} FROM {from} WHERE {condition}", list.join(", ")));
        }
        let mut sql = arms.remove(0);
        for arm in arms {
            let word =
                self.pick(&["UNION", "UNION ALL", "INTERSECT", "EXCEPT", "EXCEPT ALL", "INTERSECT ALL"]);
            sql = format!("({sql}) {word} ({arm})");
        }
        Query { sql, kinds }
    }

    /// A FROM clause and the columns it shows.
    fn from(&mut self, depth: usize, outer: &[Column]) -> (String, Vec<Column>) {
        let (mut sql, mut scope) = self.source(depth, outer);
        for _ in 0..self.below(3) {
            let lateral = depth > 0 && self.one_in(5);
            let (next, columns) = if lateral {
                let seen: Vec<Column> = scope.iter().chain(outer).cloned().collect();
                let (sql, columns) = self.derived(depth - 1, &seen);
                (format!("LATERAL {sql}"), columns)
            } else {
                self.source(depth, outer)
            };
            let Some(on) = self.equality(&scope, &columns) else { continue };
            let join = if lateral {
                self.pick(&["JOIN", "LEFT JOIN"])
            } else {
                self.pick(&["JOIN", "JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN"])
            };
            sql = format!("{sql} {join} {next} ON {on}");
            scope.extend(columns);
        }
        (sql, scope)
    }

    fn source(&mut self, depth: usize, outer: &[Column]) -> (String, Vec<Column>) {
        if depth > 0 && self.one_in(4) {
            return self.derived(depth - 1, outer);
        }
        let (name, columns) = self.pick(&TABLES);
        let alias = if self.one_in(3) { self.alias('t') } else { self.alias('x') };
        let scope = columns.iter().map(|(c, kind)| Column { sql: format!("{alias}.{c}"), kind: *kind });
        let word = self.pick(&[" AS ", " "]);
        (format!("{name}{word}{alias}"), scope.collect())
    }

    fn derived(&mut self, depth: usize, outer: &[Column]) -> (String, Vec<Column>) {
        let query = self.query(depth, outer);
        let alias = self.alias('q');
        let names: Vec<String> = (1..=query.kinds.len()).map(|n| format!("c{n}")).collect();
        let scope = names
            .iter()
            .zip(&query.kinds)
            .map(|(c, kind)| Column { sql: format!("{alias}.{c}"), kind: *kind })
            .collect();
        (format!("({}) AS {alias}({})", query.sql, names.join(", ")), scope)
    }

    fn equality(&mut self, left: &[Column], right: &[Column]) -> Option<String> {
        let kind = self.pick(&[Int, Int, Int, Text, Date]);
        let of = |columns: &[Column]| -> Vec<String> {
            columns.iter().filter(|c| c.kind == kind).map(|c| c.sql.clone()).collect()
        };
        let (left, right) = (of(left), of(right));
        if left.is_empty() || right.is_empty() {
            return None;
        }
        Some(format!("{} = {}", self.pick(&left), self.pick(&right)))
    }

    fn select(&mut self, from: &str, scope: &[Column], depth: usize, outer: &[Column]) -> Query {
        let seen: Vec<Column> = scope.iter().chain(outer).cloned().collect();
        let condition = if self.one_in(4) { "true".to_owned() } else { self.condition(&seen, depth) };
        match self.below(5) {
            0 | 1 => self.grouped(from, scope, &condition),
            2 => self.windowed(from, scope, &condition),
            _ => {
                let kinds: Vec<Kind> =
                    (0..1 + self.below(4)).map(|_| self.pick(&[Int, Text, Date, Decimal])).collect();
                let list: Vec<String> = kinds.iter().map(|k| self.value(*k, &seen, 2)).collect();
                let distinct = if self.one_in(4) { "DISTINCT " } else { "" };
                let mut sql = format!("SELECT {distinct}{} FROM {from} WHERE {condition}", list.join(", "));
                if self.one_in(3) {
                    let order: Vec<String> = (1..=kinds.len())
                        .map(|n| {
                            format!("{n}{}", self.pick(&["", " DESC", " NULLS FIRST", " DESC NULLS LAST"]))
                        })
                        .collect();
                    sql = format!(
                        "{sql} ORDER BY {} LIMIT {} OFFSET {}",
                        order.join(", "),
                        1 + self.below(30),
                        self.below(5)
                    );
                }
                Query { sql, kinds }
            }
        }
    }

    fn aggregate(&mut self, scope: &[Column]) -> (String, Kind) {
        let kind = self.pick(&[Int, Decimal]);
        let any = self.pick(&[Int, Text, Date, Decimal]);
        let (number, value) = (self.value(kind, scope, 1), self.value(any, scope, 1));
        let text = self.value(Text, scope, 1);
        let (call, kind) = match self.below(8) {
            0 => ("count(*)".to_owned(), Int),
            1 => (format!("count({value})"), Int),
            2 => (format!("count(DISTINCT {value})"), Int),
            3 => (format!("sum({number})"), kind),
            4 => (format!("min({value})"), any),
            5 => (format!("max({value})"), any),
            6 => return (format!("round(avg({number}), 2)"), Decimal),
            _ => (format!("string_agg({text}, ',' ORDER BY {text})"), Text),
        };
        if self.one_in(4) {
            let condition = self.simple_condition(scope);
            return (format!("{call} FILTER (WHERE {condition})"), kind);
        }
        (call, kind)
    }

    fn grouped(&mut self, from: &str, scope: &[Column], condition: &str) -> Query {
        let keys: Vec<Column> = (0..self.below(3)).map(|_| self.pick(scope)).collect();
        let mut list: Vec<String> = keys.iter().map(|k| k.sql.clone()).collect();
        let mut kinds: Vec<Kind> = keys.iter().map(|k| k.kind).collect();
        for _ in 0..1 + self.below(2) {
            let (call, kind) = self.aggregate(scope);
            list.push(call);
            kinds.push(kind);
        }
        let mut sql = format!("SELECT {} FROM {from} WHERE {condition}", list.join(", "));
        if !keys.is_empty() {
            let names: Vec<String> = keys.iter().map(|k| k.sql.clone()).collect();
            let names = names.join(", ");
            let group = self.pick(&[
                names.clone(),
                names.clone(),
                format!("ROLLUP ({names})"),
                format!("CUBE ({names})"),
                format!("GROUPING SETS (({names}), ())"),
            ]);
            sql = format!("{sql} GROUP BY {group}");
        }
        if self.one_in(4) {
            sql = format!("{sql} HAVING count(*) {} {}", self.pick(&[">", "<", "<>"]), self.below(6));
        }
        Query { sql, kinds }
    }

    fn windowed(&mut self, from: &str, scope: &[Column], condition: &str) -> Query {
        let (key, part, order) = (self.pick(scope), self.pick(scope), self.pick(scope));
        let number = self.value(Int, scope, 1);
        let (call, kind) = match self.below(6) {
            0 => ("rank()".to_owned(), Int),
            1 => ("dense_rank()".to_owned(), Int),
            2 => (format!("sum({number})"), Int),
            3 => ("count(*)".to_owned(), Int),
            4 => (format!("max({number})"), Int),
            _ => (format!("min({})", key.sql), key.kind),
        };
        let partition = if self.one_in(3) { String::new() } else { format!("PARTITION BY {} ", part.sql) };
        let frame = if call.contains("rank") {
            ""
        } else {
            self.pick(&[
                "",
                " RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW",
                " GROUPS BETWEEN 1 PRECEDING AND CURRENT ROW",
            ])
        };
        let sql = format!(
            "SELECT {}, {call} OVER ({partition}ORDER BY {}{frame}) FROM {from} WHERE {condition}",
            key.sql, order.sql
        );
        Query { sql, kinds: vec![key.kind, kind] }
    }

    fn constant(&mut self, kind: Kind) -> String {
        match kind {
            Int => self.pick(&[0, 1, 2, 3, 7, 10, 40, 100]).to_string(),
            Decimal => format!("{}.{:02}", self.below(300), self.pick(&[0, 50, 99])),
            Text => format!("'{}'", self.pick(&WORDS)),
            Date => format!(
                "DATE '20{}-{:02}-{:02}'",
                10 + self.below(15),
                1 + self.below(12),
                1 + self.below(28)
            ),
        }
    }

    /// An expression of this kind.
    fn value(&mut self, kind: Kind, scope: &[Column], depth: usize) -> String {
        let columns: Vec<String> = scope.iter().filter(|c| c.kind == kind).map(|c| c.sql.clone()).collect();
        if columns.is_empty() {
            return match kind {
                Decimal => self.constant(kind),
                _ => self.constant(kind),
            };
        }
        let column = self.pick(&columns);
        if depth == 0 || self.one_in(2) {
            return column;
        }
        let other = self.value(kind, scope, depth - 1);
        match (kind, self.below(4)) {
            (_, 0) => format!("COALESCE({column}, {})", self.constant(kind)),
            (_, 1) => {
                let condition = self.simple_condition(scope);
                format!("CASE WHEN {condition} THEN {column} ELSE {other} END")
            }
            (Int, 2) => format!("{column} + {other}"),
            (Int, _) => format!("{column} % 7"),
            (Decimal, 2) => format!("{column} - {other}"),
            (Decimal, _) => format!("GREATEST({column}, {other})"),
            (Text, 2) => format!("{column} || {other}"),
            (Text, _) => self.pick(&[
                format!("upper({column})"),
                format!("left({column}, 3)"),
                format!("replace({column}, 'e', '#')"),
            ]),
            (Date, 2) => format!("{column} + 30"),
            (Date, _) => format!("date_trunc('month', {column})::date"),
        }
    }

    fn simple_condition(&mut self, scope: &[Column]) -> String {
        let column = self.pick(scope);
        let constant = self.constant(column.kind);
        let same: Vec<String> =
            scope.iter().filter(|c| c.kind == column.kind).map(|c| c.sql.clone()).collect();
        let sign = self.pick(&["=", "<>", "<", "<=", ">", ">="]);
        match self.below(7) {
            0 => format!("{} IS NULL", column.sql),
            1 => format!("{} IS NOT NULL", column.sql),
            2 => format!("{} {sign} {}", column.sql, self.pick(&same)),
            3 => format!("{} IN ({constant}, {})", column.sql, self.constant(column.kind)),
            4 => format!("{} BETWEEN {constant} AND {}", column.sql, self.constant(column.kind)),
            5 if column.kind == Text => {
                format!("{} LIKE '{}'", column.sql, self.pick(&["%a%", "E%", "_o%", "%*%", "R%"]))
            }
            _ => format!("{} {sign} {constant}", column.sql),
        }
    }

    fn condition(&mut self, scope: &[Column], depth: usize) -> String {
        if depth == 0 {
            return self.simple_condition(scope);
        }
        match self.below(8) {
            0 => format!("({} AND {})", self.condition(scope, depth - 1), self.condition(scope, depth - 1)),
            1 => format!("({} OR {})", self.condition(scope, depth - 1), self.condition(scope, depth - 1)),
            2 => format!("NOT ({})", self.condition(scope, depth - 1)),
            3 => {
                // Correlated.
                let (from, inner) = self.from(depth - 1, scope);
                let on = self.equality(&inner, scope).unwrap_or_else(|| "true".to_owned());
                let word = self.pick(&["EXISTS", "NOT EXISTS"]);
                format!("{word} (SELECT 1 FROM {from} WHERE {on})")
            }
            4 => {
                let column = self.pick(scope);
                let (from, inner) = self.from(depth - 1, &[]);
                let value = self.value(column.kind, &inner, 1);
                let condition = self.simple_condition(&inner);
                let word = self.pick(&["IN", "NOT IN"]);
                format!("{} {word} (SELECT {value} FROM {from} WHERE {condition})", column.sql)
            }
            5 => {
                let (from, inner) = self.from(depth - 1, scope);
                let (value, left) = (self.value(Int, &inner, 1), self.value(Int, scope, 1));
                let on = self.equality(&inner, scope).unwrap_or_else(|| "true".to_owned());
                format!("{left} > (SELECT min({value}) FROM {from} WHERE {on})")
            }
            _ => self.simple_condition(scope),
        }
    }
}
