//! How long 64 bytes need there and back, one after the other.
//!
//! Over TCP, because what gets lost must not be waited for by a guess. Client
//! and server are two threads of this program, each in its own network.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::ways::Way;
use crate::bench::figures::percentile;

const BYTES: usize = 64;
const WARM_UP: usize = 1000;
const ROUNDS: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(10);

/// Microseconds.
#[derive(Debug, Clone, Copy)]
pub struct RoundTrip {
    pub p50: f64,
    pub p99: f64,
}

pub fn measure(way: &Way) -> Result<RoundTrip> {
    let listener = way
        .server
        .enter(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)))?;
    let server = SocketAddr::new(way.address, listener.local_addr()?.port());
    let stream = way
        .client
        .enter(|| TcpStream::connect_timeout(&server, PATIENCE))
        .with_context(|| format!("connect by way of {}", way.name))?;
    let answerer = std::thread::spawn(move || answer(&listener));
    let times = ask(stream).with_context(|| format!("64 bytes by way of {}", way.name));
    // It ends with the asker's connection.
    let _ = answerer.join();
    let times = times?;
    Ok(RoundTrip {
        p50: percentile(&times, 50),
        p99: percentile(&times, 99),
    })
}

fn ask(mut stream: TcpStream) -> std::io::Result<Vec<f64>> {
    ready(&stream)?;
    let mut bytes = [7; BYTES];
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 0..WARM_UP + ROUNDS {
        let start = Instant::now();
        stream.write_all(&bytes)?;
        stream.read_exact(&mut bytes)?;
        if round >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok(times)
}

fn answer(listener: &TcpListener) -> std::io::Result<()> {
    let (mut stream, _) = listener.accept()?;
    ready(&stream)?;
    let mut bytes = [0; BYTES];
    loop {
        stream.read_exact(&mut bytes)?;
        stream.write_all(&bytes)?;
    }
}

fn ready(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))
}
