//! Whoever asks a server that is run under faults.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a request that was not answered well is sent again: the one call that fails may have
/// been its own.
const TRIES: usize = 3;
const PAUSE: Duration = Duration::from_millis(5);
/// How long an answer may take, and to begin and to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Requests to a server on this machine.
pub struct Client {
    pub port: u16,
    pub path: &'static str,
    /// What is sent, in JSON, one after the other.
    pub bodies: &'static [&'static str],
}

impl Client {
    /// With a port that is free now.
    pub fn new(path: &'static str, bodies: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        Self {
            port: listener.local_addr().unwrap().port(),
            path,
            bodies,
        }
    }

    /// Sends everything once the server listens, each until it is answered well, and asks the
    /// server to end. A server that ended by itself is asked nothing.
    ///
    /// # Errors
    /// What a request was answered the last time, if it was never answered well.
    pub fn visit(&self, server: &mut Child) -> Result<(), String> {
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if server.try_wait().unwrap().is_some() {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                server.kill().unwrap();
                return Err("it did not listen".to_owned());
            }
            sleep(PAUSE);
        }
        let answered = self.bodies.iter().try_for_each(|body| {
            let mut answer = String::new();
            for _ in 0..TRIES {
                answer = self.post(body).unwrap_or_else(|e| e.to_string());
                if answer.starts_with("HTTP/1.1 200 ") {
                    return Ok(());
                }
            }
            Err(answer)
        });
        let started = Instant::now();
        while server.try_wait().unwrap().is_none() {
            if started.elapsed() > PATIENCE {
                server.kill().unwrap();
                return Err("it did not end when asked to".to_owned());
            }
            let process = server.id().to_string();
            // Again and again: a signal is told to the program by a call that may fail.
            let _ = Command::new("kill").args(["-INT", &process]).output();
            sleep(PAUSE * 20);
        }
        answered
    }

    fn post(&self, body: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(
            stream,
            "POST {} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.path,
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}
