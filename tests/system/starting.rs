//! What Lanyard does not serve: a warehouse in which everybody reads governed tables through a function. And whom it serves no
//! longer: who has no key any more.

use std::os::unix::fs::PermissionsExt as _;

use lanyard_tests::wait::until;
use lanyard_tests::{Governed, Outcome};
use serde_json::Value;

async fn refuses_to_start(governed: &Governed, words: &[&str]) -> Outcome {
    match governed.start_proxy().await {
        Ok(()) => Err("it started".into()),
        Err(error) => {
            let log = std::fs::read_to_string(governed.setting().folder.join("lanyard.log"))?;
            for word in words {
                assert!(log.contains(word), "{word:?} is not in {error}: {log}");
            }
            Ok(())
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_that_read_for_everybody_are_closed_or_accepted_first() -> Outcome {
    let governed = Governed::start().await?;
    let dba = governed.dba().await?;
    governed.stop_proxy().await?;
    // One that reads nothing of what is governed is nobody's business; nor is one that PUBLIC may not execute.
    dba.batch_execute(
        "CREATE ROLE nobody_in_particular;
         CREATE FUNCTION public.harmless() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
         ALTER FUNCTION public.harmless() OWNER TO nobody_in_particular;
         CREATE FUNCTION public.closed() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';
         REVOKE EXECUTE ON FUNCTION public.closed() FROM PUBLIC;
         CREATE FUNCTION public.invoker() RETURNS int LANGUAGE sql AS 'SELECT 1';",
    )
    .await?;
    governed.start_proxy().await?;
    governed.stop_proxy().await?;
    dba.batch_execute(
        "CREATE FUNCTION public.peek(int) RETURNS text LANGUAGE sql SECURITY DEFINER
           AS 'SELECT lastname::text FROM public.customer_orders LIMIT 1'",
    )
    .await?;
    refuses_to_start(&governed, &["PUBLIC may execute SECURITY DEFINER public.peek;", "accept_public"])
        .await?;
    // Behind an operator it needs no name to be called.
    dba.batch_execute("CREATE OPERATOR public.@ (RIGHTARG = int, FUNCTION = public.peek)").await?;
    refuses_to_start(&governed, &["public.peek (behind an operator or cast: cannot be accepted)"]).await?;
    governed.harden("--harden")?;
    governed.start_proxy().await?;
    governed.stop_proxy().await?;
    governed.harden("--unharden")?;
    refuses_to_start(&governed, &["public.peek"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_key_a_session_ends() -> Outcome {
    let governed = Governed::start().await?;
    let (agent, person) =
        (governed.connect("marketing-agent~taylor").await?, governed.connect("harper").await?);
    agent.simple_query("SELECT 1").await?;
    person.simple_query("SELECT 1").await?;
    let file = governed.setting().governance.join("credentials.json");
    let mut credentials: Value = serde_json::from_str(&std::fs::read_to_string(&file)?)?;
    let agents = credentials["agents"].as_object_mut().ok_or("agents")?;
    assert!(agents.remove("marketing-agent").is_some());
    let new = file.with_extension("new");
    std::fs::write(&new, credentials.to_string())?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&new, &file)?;
    until("the agent's session is over", async || {
        Ok(agent.simple_query("SELECT 1").await.is_err().then_some(()))
    })
    .await?;
    person.simple_query("SELECT 1").await?;
    let refused = governed.connect("marketing-agent~taylor").await.err().ok_or("logged in without a key")?;
    assert!(refused.to_string().contains("db error") || refused.to_string().contains("28P01"), "{refused}");
    Ok(())
}
