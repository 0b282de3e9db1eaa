//! Statement kinds: the allow-list, and what each kind that is not plain DML may say.
//!
//! The second half of the walk in `statement`; it judges what stands around a query (EXPLAIN, cursors, COPY, SET, SHOW,
//! transactions) and pushes the query itself.

use pg_raw_parse::{Node, nodes};

use crate::entitlement::Operation;
use crate::refusal::{Code, Refusal};

use super::edit::Edit;
use super::judge::{Effect, RESERVED_NAMES, not_spliced};
use super::paths::Step;
use super::plan::Change;
use super::resolve::quote;
use super::statement::{Verdict, Walk, constant_text, offset, parts};
use super::{copy, scan, settings, unknown_setting};

impl<'t> Walk<'t, '_> {
    /// Statement kinds: the allow-list.
    pub(super) fn begin(&mut self, raw: &'t nodes::RawStmt) -> Result<&'static str, Refusal> {
        if let Some(kind) = self.path_change(raw)? {
            return Ok(kind);
        }
        if let Some(kind) = self.own_work(raw)? {
            return Ok(kind);
        }
        let kind = match raw.stmt() {
            Node::SelectStmt(select) if unknown_setting::is_set(select) => {
                self.replace(raw, unknown_setting::NO_ROW.to_owned())?;
                return Ok("SELECT");
            }
            Node::SelectStmt(_) => "SELECT",
            Node::InsertStmt(_) => "INSERT",
            Node::UpdateStmt(_) => "UPDATE",
            Node::DeleteStmt(_) => "DELETE",
            Node::MergeStmt(_) => "MERGE",
            Node::ExplainStmt(explain) => return self.explain(explain),
            Node::DeclareCursorStmt(cursor) => return self.declare(cursor),
            Node::CopyStmt(copy) => return self.copy(copy),
            Node::VariableSetStmt(set) => return self.set(raw, set),
            Node::VariableShowStmt(show) => return self.show(raw, show),
            Node::TransactionStmt(transaction) => {
                self.transaction_step(transaction);
                return transaction_kind(transaction);
            }
            Node::FetchStmt(fetch) => {
                cursor_name(fetch.portalname())?;
                if let (true, Some(name)) = (fetch.ismove, fetch.portalname()) {
                    self.plan.effects.push((self.index, Effect::Move(name.to_owned(), way(fetch))));
                }
                return Ok("FETCH");
            }
            Node::ClosePortalStmt(close) => return cursor_name(close.portalname()).map(|()| "CLOSE"),
            Node::UnlistenStmt(_) => return Ok("UNLISTEN"),
            Node::DiscardStmt(discard) => {
                const DISCARD_ALL: u32 = 0;
                const DISCARD_TEMP: u32 = 3;
                // DISCARD PLANS, SEQUENCES and TEMP leave prepared statements.
                if discard.target == DISCARD_ALL {
                    self.plan.effects.push((self.index, Effect::DeallocateAll));
                    self.plan.effects.push((self.index, Effect::Path(Step::Set { local: false, to: None })));
                }
                if self.context.workspace.is_some() && matches!(discard.target, DISCARD_ALL | DISCARD_TEMP) {
                    self.plan.effects.push((self.index, Effect::Path(Step::AllGone)));
                }
                return Ok("DISCARD");
            }
            Node::LockStmt(lock) => return self.lock(lock),
            Node::CreateExtensionStmt(create) => return self.extension(create),
            Node::ListenStmt(listen) => return self.listen(listen),
            Node::NotifyStmt(notify) => return self.notify(notify),
            Node::PrepareStmt(prepare) => return self.prepare(raw, prepare),
            Node::ExecuteStmt(execute) => return self.execute(raw, execute),
            Node::DeallocateStmt(statement) => return self.deallocate(raw, statement),
            _ => {
                return Err(self.not_allowed());
            }
        };
        self.push(raw.stmt(), 0, 0);
        Ok(kind)
    }

    /// Applications begin with CREATE EXTENSION IF NOT EXISTS. Where a permit opens the extension it is there, and PostgreSQL says
    /// so; nobody makes one, because no session's role may.
    fn extension(&self, create: &nodes::CreateExtensionStmt) -> Result<&'static str, Refusal> {
        let name = create.extname().unwrap_or_default();
        let opened = self.context.entitlement.extras.extensions.contains(name);
        if create.if_not_exists && create.options().is_empty() && opened {
            return Ok("CREATE EXTENSION");
        }
        Err(Refusal::new(Code::Policy, "extensions cannot be made here").hint(
            "a DBA creates it and a policy opens it: allow extension; IF NOT EXISTS is then let through",
        ))
    }

    pub(super) fn not_allowed(&self) -> Refusal {
        let kinds =
            "SELECT, INSERT, UPDATE, DELETE, COPY, EXPLAIN, cursors, transactions and some SETs are allowed";
        Refusal::new(Code::Policy, "this kind of statement is not allowed").hint(
            match self.context.workspace {
                None => format!("{kinds}; making tables needs a policy that says: allow workspace"),
                Some(schema) => {
                    format!("{kinds}, and tables, views, indexes, sequences and types in schema {schema}")
                }
            },
        )
    }

    fn explain(&mut self, explain: &'t nodes::ExplainStmt) -> Result<&'static str, Refusal> {
        for option in explain.options().iter() {
            let name = option.defname().unwrap_or_default().to_ascii_lowercase();
            match name.as_str() {
                "costs" | "summary" | "format" | "generic_plan" => {}
                // It prints the settings that are ours, the search path among them as the warehouse has it.
                "settings" if is_off(option.arg()) => {}
                "settings" => {
                    return Err(Refusal::new(Code::Unsupported, "EXPLAIN (SETTINGS) is not supported")
                        .hint("SHOW says what a setting is; EXPLAIN without SETTINGS works"));
                }
                "analyze" | "verbose" | "buffers" | "timing" | "wal" | "memory" | "serialize" => {
                    if !is_off(option.arg()) {
                        return Err(Refusal::new(Code::Policy, format!("EXPLAIN ({name}) is not allowed"))
                            .hint("its counts and outputs would show what policy hides; plain EXPLAIN is allowed"));
                    }
                }
                _ => {
                    return Err(Refusal::new(
                        Code::Syntax,
                        format!("unrecognized EXPLAIN option \"{name}\""),
                    ));
                }
            }
        }
        self.explained = true;
        match explain.query() {
            node @ (Node::SelectStmt(_)
            | Node::InsertStmt(_)
            | Node::UpdateStmt(_)
            | Node::DeleteStmt(_)
            | Node::MergeStmt(_)) => self.push(node, 1, 0),
            _ => {
                return Err(Refusal::new(Code::Policy, "EXPLAIN of this kind of statement is not allowed"));
            }
        }
        Ok("EXPLAIN")
    }

    fn declare(&mut self, cursor: &'t nodes::DeclareCursorStmt) -> Result<&'static str, Refusal> {
        // WITH HOLD too: a change of access ends the session, and what it holds with it.
        cursor_name(cursor.portalname())?;
        self.push(cursor.query(), 1, 0);
        Ok("DECLARE CURSOR")
    }

    fn copy(&mut self, copy: &'t nodes::CopyStmt) -> Result<&'static str, Refusal> {
        if copy.is_program || copy.filename().is_some() {
            return Err(Refusal::new(Code::Policy, "COPY with a file or program is not allowed")
                .hint("use COPY … TO STDOUT or FROM STDIN"));
        }
        copy::options(copy, copy.relation().is_some_and(|relation| self.is_own(relation)))?;
        if copy.is_from {
            return self.copy_from(copy);
        }
        if !matches!(copy.query(), Node::None) {
            self.push(copy.query(), 1, 0);
        } else if let Some(relation) = copy.relation() {
            self.copy_relation(copy, relation)?;
        } else {
            return Err(not_spliced());
        }
        Ok("COPY")
    }

    /// `COPY t (a, b) TO STDOUT` -> `COPY (SELECT a, b FROM view AS t) TO STDOUT`: COPY does not read views.
    fn copy_relation(&mut self, copy: &'t nodes::CopyStmt, relation: &'t nodes::RangeVar) -> Verdict {
        if self.is_own(relation) {
            return self.relation(relation, Operation::Read, true);
        }
        let (schema, name) = self.target(relation, Operation::Read)?;
        let columns: Vec<String> = copy.attlist().iter().filter_map(|n| n.as_str().map(quote)).collect();
        let list = if columns.is_empty() { "*".to_owned() } else { columns.join(", ") };
        let query = format!(
            "SELECT {list} FROM {}.{} AS {}",
            quote(&schema),
            quote(&name),
            quote(relation.relname().unwrap_or_default())
        );
        let at = offset(relation.location)?;
        let mut end = self.name_end(at, parts(relation))?;
        if !columns.is_empty() {
            end = scan::parenthesis_end(self.text, end).ok_or_else(not_spliced)?;
        }
        self.plan.edits.push(Edit::new(at..end, format!("({query})")));
        self.plan.changes.push(Change::CopyQuery { at, query });
        Ok(())
    }

    fn set(
        &mut self,
        raw: &'t nodes::RawStmt,
        set: &'t nodes::VariableSetStmt,
    ) -> Result<&'static str, Refusal> {
        const VAR_SET_MULTI: u32 = 3;
        let name = set.name().unwrap_or_default();
        if set.kind == VAR_SET_MULTI {
            // SET TRANSACTION and SET SESSION CHARACTERISTICS; a snapshot could be another session's.
            return match name {
                "TRANSACTION" | "SESSION CHARACTERISTICS" => Ok("SET"),
                _ => Err(Refusal::new(Code::Policy, format!("SET {name} is not allowed"))),
            };
        }
        let values: Vec<&str> = set.args().iter().filter_map(constant_text).collect();
        match settings::setting(name) {
            None => Err(Refusal::new(Code::Policy, format!("setting \"{name}\" may not be changed here"))
                .hint("the session's identity, search path and parsing are Lanyard's")),
            Some(settings::Setting::Free) => Ok("SET"),
            Some(settings::Setting::Only(allowed)) => {
                if values.iter().all(|v| settings::says(v, allowed)) && values.len() == set.args().len() {
                    Ok("SET")
                } else {
                    Err(Refusal::new(Code::Policy, format!("setting \"{name}\" must stay as it is")))
                }
            }
            Some(settings::Setting::Ours) => {
                self.replace(raw, "SET application_name TO DEFAULT".to_owned())?;
                Ok("SET")
            }
        }
    }

    /// What is ours in a setting (the stamp, the end of the search path) is not the principal's.
    fn show(
        &mut self,
        raw: &'t nodes::RawStmt,
        show: &'t nodes::VariableShowStmt,
    ) -> Result<&'static str, Refusal> {
        let name = show.name().unwrap_or_default();
        if !settings::may_show(name) {
            return Err(Refusal::new(Code::Policy, format!("setting \"{name}\" may not be shown")));
        }
        let text = match name.to_ascii_lowercase().as_str() {
            "application_name" => {
                "SELECT lanyard_catalog.current_setting('application_name') AS application_name"
            }
            "search_path" => "SELECT lanyard_catalog.current_setting('search_path') AS search_path",
            _ => return Ok("SHOW"),
        };
        self.replace(raw, text.to_owned())?;
        self.plan.effects.push((self.index, Effect::Show));
        Ok("SHOW")
    }

    pub(super) fn statement_range(&self, raw: &nodes::RawStmt) -> Result<(usize, usize), Refusal> {
        let start = offset(raw.stmt_location)?;
        let length = offset(raw.stmt_len)?;
        let end = if length == 0 { self.text.len() } else { start + length };
        Ok((start, end))
    }
}

/// Direction and count of a FETCH or MOVE, as the grammar takes them.
fn way(fetch: &nodes::FetchStmt) -> String {
    const FETCH_ALL: i64 = i64::MAX;
    let direction = match fetch.direction {
        1 => "BACKWARD",
        2 => "ABSOLUTE",
        3 => "RELATIVE",
        _ => "FORWARD",
    };
    match fetch.how_many {
        FETCH_ALL => format!("{direction} ALL"),
        count => format!("{direction} {count}"),
    }
}

/// A cursor a client may name: none of the session's own portals, whose statements only an Execute puts on record.
pub(super) fn cursor_name(name: Option<&str>) -> Verdict {
    match name {
        Some(name) if name.starts_with(RESERVED_NAMES) => Err(Refusal::new(
            Code::Policy,
            format!("cursor names starting with \"{RESERVED_NAMES}\" are reserved"),
        )
        .hint("give the cursor another name")),
        Some(_) | None => Ok(()),
    }
}

fn is_off(argument: Node<'_>) -> bool {
    match argument {
        Node::String(text) => {
            text.sval().is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "off" | "false" | "0"))
        }
        Node::Integer(number) => number.ival == 0,
        _ => false,
    }
}

fn transaction_kind(transaction: &nodes::TransactionStmt) -> Result<&'static str, Refusal> {
    Ok(match transaction.kind {
        0 => "BEGIN",
        1 => "START TRANSACTION",
        2 => "COMMIT",
        3 => "ROLLBACK",
        4 => "SAVEPOINT",
        5 => "RELEASE",
        6 => "ROLLBACK TO",
        _ => {
            return Err(Refusal::new(Code::Unsupported, "two-phase commit is not supported"));
        }
    })
}
