//! The command line: a client of the node's API socket.
//!
//! [`args`] says what can be typed, `values` reads the small languages of its
//! values, `spec` turns them into a service's spec, `stack` turns Compose files
//! into what is to be done, `view`, `progress` and `logs` turn answers into text. All of these are pure. `commands` carries
//! requests and answers between them and the socket (`client`), and `daemon`
//! starts a daemon where `init`, `join` and `up` find none.

pub mod args;
mod client;
mod commands;
mod daemon;
mod docker;
mod error;
mod logs;
mod progress;
mod spec;
mod stack;
mod values;
mod view;

use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;

use args::{ClientCommand, Socket};
use client::Client;
use commands::Session;
use error::CliError;

/// Carries out `command` at the daemon that listens at `host`: answers on
/// standard output, errors with a hint on standard error.
pub fn run(host: Socket, command: ClientCommand) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(async {
            let mut session = Session {
                client: Client::new(host),
                input: &mut io::stdin().lock(),
                out: &mut io::stdout(),
                err: &mut io::stderr(),
                terminal: io::stdout().is_terminal(),
                keyboard: io::stdin().is_terminal(),
            };
            session.run(command).await
        }),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // `swarmlet … | head` has seen enough.
        Err(CliError::Output(error)) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told where this fails.
            let _ = report(&error, &mut io::stderr());
            ExitCode::FAILURE
        }
    }
}

fn report(error: &CliError, err: &mut dyn Write) -> io::Result<()> {
    writeln!(err, "{error}")?;
    match error.hint() {
        Some(hint) => writeln!(err, "Hint: {hint}"),
        None => Ok(()),
    }
}
