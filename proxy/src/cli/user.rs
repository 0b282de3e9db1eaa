//! `lanyard user`: people and their passwords.

use std::collections::BTreeSet;
use std::io::Write;

use clap::{Args, Subcommand};
use lanyard_adapters::store::{self, NewUser, Who};
use lanyard_engine::identity::{Attributes, UserId};
use serde_json::json;

use super::print::{self, safe};
use super::secret::{self, Input};
use super::{CliError, ConfigFlag, ExitCode, JsonFlag, Style};

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Add a person. Without a password they cannot log in themselves; agents may still act for them.
    #[command(after_help = "\
Examples:
  lanyard user add taylor --name 'Taylor Reyes' --group marketing --attribute region=US-EAST
  lanyard user add harper --group hr --group analysts --attribute region=US-EAST --attribute region=US-WEST --generate")]
    Add(AddArgs),
    /// Who is there?
    List(ListArgs),
    /// Remove a person and their password. Their number in role names is never given again.
    Remove(OneArgs),
    /// Set a person's password: a line from standard input, or one made here and printed once.
    #[command(
        visible_alias = "set-key",
        after_help = "\
Examples:
  lanyard user password taylor --generate
  pass show taylor | lanyard user password taylor"
    )]
    Password(PasswordArgs),
}

/// What agents and people have alike.
#[derive(Debug, Args)]
pub(super) struct Traits {
    /// For people to read; the id when left out.
    #[arg(long)]
    name: Option<String>,
    /// A group; may be repeated.
    #[arg(long = "group", value_name = "GROUP", value_parser = word)]
    groups: Vec<String>,
    /// An attribute's value; repeat it for more values.
    #[arg(long = "attribute", value_name = "NAME=VALUE", value_parser = attribute)]
    attributes: Vec<(String, String)>,
}

impl Traits {
    pub(super) fn name_or(&self, id: &str) -> String {
        self.name.clone().unwrap_or_else(|| id.to_owned())
    }

    pub(super) fn groups(&self) -> BTreeSet<String> {
        self.groups.iter().cloned().collect()
    }

    pub(super) fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::new();
        for (name, value) in &self.attributes {
            attributes.entry(name.clone()).or_default().insert(value.clone());
        }
        attributes
    }
}

fn word(text: &str) -> Result<String, String> {
    if text.is_empty() || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("must not be empty or hold blanks".to_owned());
    }
    Ok(text.to_owned())
}

fn attribute(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    if value.is_empty() || value.contains('\0') {
        return Err("the value must not be empty".to_owned());
    }
    Ok((word(name)?, value.to_owned()))
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Unique among agents and users: letters, digits, '.', '_', '-', '@'.
    #[arg(value_parser = UserId::parse)]
    id: UserId,
    #[command(flatten)]
    traits: Traits,
    /// Make a password and print it, once.
    #[arg(long)]
    generate: bool,
    #[command(flatten)]
    config: ConfigFlag,
    #[command(flatten)]
    json: JsonFlag,
}

/// What listing agents and people takes.
#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    pub(super) config: ConfigFlag,
    #[command(flatten)]
    pub(super) json: JsonFlag,
}

#[derive(Debug, Args)]
pub(super) struct OneArgs {
    /// The person.
    #[arg(value_parser = UserId::parse)]
    id: UserId,
    #[command(flatten)]
    config: ConfigFlag,
}

#[derive(Debug, Args)]
pub(super) struct PasswordArgs {
    #[command(flatten)]
    one: OneArgs,
    /// Make a password and print it, once, instead of reading one.
    #[arg(long)]
    generate: bool,
    #[command(flatten)]
    json: JsonFlag,
}

pub(super) fn run(
    command: &UserCommand,
    input: &mut dyn Input,
    out: &mut dyn Write,
) -> Result<ExitCode, CliError> {
    match command {
        UserCommand::Add(args) => add(args, out),
        UserCommand::List(args) => list(args, out),
        UserCommand::Remove(args) => {
            store::remove_user(&args.config.read()?.governance.directory.value, &args.id)?;
            writeln!(out, "user \"{}\" removed", args.id)?;
            Ok(ExitCode::Done)
        }
        UserCommand::Password(args) => password(args, input, out),
    }
}

fn add(args: &AddArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let directory = args.config.read()?.governance.directory.value;
    let user = store::add_user(
        &directory,
        NewUser {
            id: args.id.clone(),
            name: args.traits.name_or(args.id.as_str()),
            groups: args.traits.groups(),
            attributes: args.traits.attributes(),
        },
    )?;
    let password = args.generate.then(store::generate_key).transpose()?;
    if let Some(password) = &password {
        store::set_key(&directory, Who::User(&user.id), password)?;
    }
    match args.json.style() {
        Style::Json => print::json(out, &json!({ "user": user, "password": password }))?,
        Style::People => {
            writeln!(out, "user \"{}\" added, number {} in role names", user.id, user.short.get())?;
            match password {
                Some(password) => print::secret(out, "password", &password)?,
                None => {
                    let id = &user.id;
                    writeln!(
                        out,
                        "They cannot log in themselves; `lanyard user password {id}` changes that."
                    )?;
                }
            }
        }
    }
    Ok(ExitCode::Done)
}

fn password(args: &PasswordArgs, input: &mut dyn Input, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let directory = args.one.config.read()?.governance.directory.value;
    let made = args.generate.then(store::generate_key).transpose()?;
    let secret = match &made {
        Some(made) => made.clone(),
        None => secret::read(input)?,
    };
    let id = &args.one.id;
    store::set_key(&directory, Who::User(id), &secret)?;
    match args.json.style() {
        Style::Json => print::json(out, &json!({ "user": id, "password": made }))?,
        Style::People => {
            writeln!(out, "password of user \"{id}\" set")?;
            if let Some(made) = made {
                print::secret(out, "password", &made)?;
            }
        }
    }
    Ok(ExitCode::Done)
}

pub(super) fn list_text(words: &BTreeSet<String>) -> String {
    let words: Vec<_> = words.iter().map(|word| safe(word)).collect();
    words.join(",")
}

pub(super) fn attributes_text(attributes: &Attributes) -> String {
    let pairs: Vec<_> =
        attributes.iter().map(|(name, values)| format!("{}={}", safe(name), list_text(values))).collect();
    pairs.join(" ")
}

fn list(args: &ListArgs, out: &mut dyn Write) -> Result<ExitCode, CliError> {
    let governance = store::load(&args.config.read()?.governance.directory.value)?;
    let has_password = |id: &UserId| governance.credentials.of(Who::User(id)).is_some();
    let users = governance.identities.users.values().map(|user| {
        let has_password = has_password(&user.id);
        let row = vec![
            user.id.to_string(),
            user.short.get().to_string(),
            safe(&user.name).into_owned(),
            if has_password { "yes" } else { "none" }.to_owned(),
            list_text(&user.groups),
            attributes_text(&user.attributes),
        ];
        (json!({ "user": user, "has_password": has_password }), row)
    });
    let head = ["ID", "NUMBER", "NAME", "PASSWORD", "GROUPS", "ATTRIBUTES"];
    print::list(out, args.json.style(), &head, users)?;
    Ok(ExitCode::Done)
}
