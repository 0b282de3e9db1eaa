//! The golden matrix: every principal of the sample governance, every table, every operation and column, in one reviewed file.
//!
//! A difference is a change of access and fails here. When it is meant, `LANYARD_GOLDEN=write cargo test -p lanyard-tests matrix`
//! writes the file anew, for the review.

use std::fmt::Write as _;
use std::path::Path;

use lanyard_adapters::store;
use lanyard_engine::approval::Approvals;
use lanyard_engine::catalog::RelationName;
use lanyard_engine::identity::Principal;
use lanyard_engine::policy::{self, Explanation, PolicySet, Source};
use lanyard_engine::snapshot::{Parts, Snapshot};
use lanyard_tests::{Governed, Outcome};

use crate::floor::warehouse;

#[tokio::test(flavor = "multi_thread")]
async fn the_golden_matrix_is_as_reviewed() -> Outcome {
    let governed = Governed::shared().await?;
    let governance = store::load(&governed.setting().governance)?;
    let mut catalog = warehouse(&governed, "matrix").await?.catalog().await?;
    governance.tags.apply(&mut catalog);
    let sources: Vec<Source<'_>> =
        governance.policies.iter().map(|(file, text)| Source { file, text }).collect();
    let policies = PolicySet::parse(&sources).map_err(|errors| format!("{errors:?}"))?;
    let (identities, tags) = (governance.identities.clone(), governance.tags.clone());
    let approvals = Approvals::default();
    let snapshot = Snapshot::new(Parts { version: 1, identities, tags, policies, catalog, approvals });
    let found = matrix(&snapshot)?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/matrix.txt");
    if std::env::var_os("LANYARD_GOLDEN").is_some_and(|how| how == "write") {
        std::fs::write(&file, &found)?;
    }
    let reviewed = std::fs::read_to_string(&file)?;
    let differs = found.lines().zip(reviewed.lines()).position(|(one, other)| one != other);
    assert!(
        found == reviewed,
        "access differs from tests/golden/matrix.txt from line {} on; if that is meant: LANYARD_GOLDEN=write cargo test -p \
         lanyard-tests matrix\nnow: {:?}",
        differs.map_or(found.lines().count().min(reviewed.lines().count()), |line| line) + 1,
        differs.and_then(|line| found.lines().nth(line)),
    );
    Ok(())
}

fn matrix(snapshot: &Snapshot) -> Result<String, std::fmt::Error> {
    let mut out = String::from(
        "# principal / table: operations, or why not / rows / column: rule (policy that decided)\n\
         # Written by tests/system/matrix.rs; see there how to renew it.\n",
    );
    let users = || snapshot.identities.users.keys().cloned();
    let agents = || snapshot.identities.agents.keys().cloned();
    let mut principals: Vec<(String, Principal)> =
        users().map(|user| (user.to_string(), Principal::direct(user))).collect();
    principals.extend(agents().map(|agent| (agent.to_string(), Principal::autonomous(agent))));
    for agent in agents() {
        let acting =
            users().map(|user| (format!("{agent} for {user}"), Principal::on_behalf_of(agent.clone(), user)));
        principals.extend(acting);
    }
    for (who, principal) in principals {
        writeln!(out, "\n{who}")?;
        for relation in snapshot.catalog.relations.keys() {
            table(&mut out, relation, &policy::explain(snapshot, &principal, relation))?;
        }
    }
    Ok(out)
}

fn table(out: &mut String, relation: &RelationName, told: &Explanation) -> std::fmt::Result {
    if told.verdict != "allowed" {
        return writeln!(out, "  {relation}: refused, {}", told.reasons.join("; "));
    }
    let as_whom = told.judged_as.unwrap_or("nobody");
    writeln!(out, "  {relation}: {} as the {as_whom}", told.operations.join(", "))?;
    for (policy, says) in told.rows.iter().flat_map(|rows| &rows.policies) {
        writeln!(out, "    rows {policy}: {says}")?;
    }
    for column in &told.columns {
        let policy = column.policy.as_ref().map_or(String::new(), |policy| format!(" ({policy})"));
        writeln!(out, "    {}: {}{policy}", column.column, column.rule)?;
    }
    Ok(())
}
