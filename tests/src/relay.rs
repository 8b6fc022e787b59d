//! A stretch of network between two processes that a test can break: cut, refuse, stall, or leave half open.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
    sync::watch,
    task::JoinHandle,
};

/// What the stretch does with connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Carries them.
    Clear,
    /// Resets new ones as soon as they come; old ones live on.
    Refusing,
    /// Holds every byte back, and lets it go when the weather clears: packets are lost and sent again.
    Stalled,
    /// The far side is told that the connection is gone, the near side is told nothing: what it sends disappears.
    NearHangs,
    /// The near side is told that the connection is gone, the far side is told nothing: it waits for more.
    FarHangs,
}

/// Where the stretch leads. It may change: a process that comes back listens elsewhere.
#[derive(Clone, Debug)]
pub enum Target {
    /// Nowhere yet: connections are reset.
    Nowhere,
    /// A port.
    Tcp(SocketAddr),
    /// A socket in the filesystem.
    Unix(PathBuf),
}

/// A listener on loopback whose connections are carried to a target. Dropped, it closes them all.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    target: Mutex<Target>,
    weather: watch::Sender<Weather>,
    /// Counts the cuts: who was connected before one is reset.
    cuts: watch::Sender<u64>,
}

impl Relay {
    /// Listens on a free port.
    ///
    /// # Errors
    /// If there is none.
    pub async fn start(target: Target) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            target: Mutex::new(target),
            weather: watch::Sender::new(Weather::Clear),
            cuts: watch::Sender::new(0),
        });
        let theirs = Arc::clone(&shared);
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, Arc::clone(&theirs)));
            }
        });
        Ok(Self {
            address,
            shared,
            accepting,
        })
    }

    /// Where to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on new connections go there.
    pub fn lead_to(&self, target: Target) {
        *self
            .shared
            .target
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Changes the weather.
    pub fn set(&self, weather: Weather) {
        self.shared.weather.send_replace(weather);
    }

    /// Resets every connection.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|count| *count += 1);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

type Far = Box<dyn Stream>;
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(target: Target) -> io::Result<Far> {
    Ok(match target {
        Target::Nowhere => return Err(io::ErrorKind::NotConnected.into()),
        Target::Tcp(address) => {
            let far = TcpStream::connect(address).await?;
            far.set_nodelay(true)?;
            // However it ends, it ends abruptly: that is what the relay is for.
            far.set_zero_linger()?;
            Box::new(far)
        }
        Target::Unix(path) => Box::new(UnixStream::connect(path).await?),
    })
}

/// One connection. A side that is None has been closed.
struct Pair {
    near: Option<TcpStream>,
    far: Option<Far>,
}

/// One connection, to its end.
async fn carry(near: TcpStream, shared: Arc<Shared>) {
    // An error would mean that it is gone already.
    let _ = near.set_nodelay(true);
    let mut cuts = shared.cuts.subscribe();
    let mut weather = shared.weather.subscribe();
    let mut pair = Pair {
        near: Some(near),
        far: None,
    };
    let orderly = tokio::select! {
        orderly = live(&mut pair, &shared, &mut weather) => orderly,
        _ = cuts.changed() => false,
    };
    if let (false, Some(near)) = (orderly, &pair.near) {
        // Closing it sends a reset instead of an orderly end. An error would mean that it is gone already.
        let _ = near.set_zero_linger();
    }
}

/// Carries bytes until either side closes (true) or the weather breaks the connection for good.
async fn live(pair: &mut Pair, shared: &Shared, weather: &mut watch::Receiver<Weather>) -> bool {
    let target = || {
        let target = shared.target.lock();
        target.unwrap_or_else(PoisonError::into_inner).clone()
    };
    let now = *weather.borrow_and_update();
    match now {
        Weather::Refusing | Weather::FarHangs => return false,
        Weather::NearHangs => {}
        Weather::Clear | Weather::Stalled => match connect(target()).await {
            Ok(far) => pair.far = Some(far),
            Err(_) => return false,
        },
    }
    let (mut up, mut down) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    loop {
        let now = *weather.borrow_and_update();
        let (Some(near), Some(far)) = (&mut pair.near, &mut pair.far) else {
            return half_open(pair, weather).await;
        };
        match now {
            Weather::Stalled => {
                let _ = weather.changed().await;
                continue;
            }
            Weather::NearHangs => {
                pair.far = None;
                continue;
            }
            Weather::FarHangs => {
                let _ = near.set_zero_linger();
                pair.near = None;
                continue;
            }
            Weather::Clear | Weather::Refusing => {}
        }
        let moved = tokio::select! {
            read = near.read(&mut up) => Moved::Up(read),
            read = far.read(&mut down) => Moved::Down(read),
            _ = weather.changed() => continue,
        };
        // What was read while the weather turned waits until it turns again: nothing overtakes anything.
        while *weather.borrow_and_update() == Weather::Stalled {
            let _ = weather.changed().await;
        }
        let passed = match moved {
            Moved::Up(Ok(n)) if n > 0 => far.write_all(&up[..n]).await,
            Moved::Down(Ok(n)) if n > 0 => near.write_all(&down[..n]).await,
            Moved::Up(end) | Moved::Down(end) => return end.is_ok(),
        };
        if passed.is_err() {
            return false;
        }
    }
}

enum Moved {
    Up(io::Result<usize>),
    Down(io::Result<usize>),
}

/// One side is gone and the other doesn't know: what it sends disappears, until the weather turns.
async fn half_open(pair: &mut Pair, weather: &mut watch::Receiver<Weather>) -> bool {
    let mut nobody = vec![0; 16 << 10];
    loop {
        let read = async {
            match (&mut pair.near, &mut pair.far) {
                (Some(near), _) => near.read(&mut nobody).await,
                (_, Some(far)) => far.read(&mut nobody).await,
                (None, None) => Ok(0),
            }
        };
        tokio::select! {
            read = read => {
                if !matches!(read, Ok(n) if n > 0) {
                    return false;
                }
            }
            _ = weather.changed() => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(200);

    /// A connection by way of a relay, and the other end of it.
    async fn connected() -> (Relay, TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        connected_to(&listener).await
    }

    async fn connected_to(listener: &TcpListener) -> (Relay, TcpStream, TcpStream) {
        let target = Target::Tcp(listener.local_addr().unwrap());
        let relay = Relay::start(target).await.unwrap();
        let mut near = TcpStream::connect(relay.address()).await.unwrap();
        near.write_all(b"a").await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        assert_eq!(far.read_u8().await.unwrap(), b'a');
        (relay, near, far)
    }

    #[test]
    fn what_is_stalled_arrives_when_the_weather_clears() {
        crate::run(async {
            let (relay, mut near, mut far) = connected().await;
            relay.set(Weather::Stalled);
            near.write_all(b"b").await.unwrap();
            assert!(timeout(MOMENT, far.read_u8()).await.is_err());
            relay.set(Weather::Clear);
            assert_eq!(far.read_u8().await.unwrap(), b'b');
            far.write_all(b"c").await.unwrap();
            assert_eq!(near.read_u8().await.unwrap(), b'c');
        });
    }

    #[test]
    fn a_cut_ends_both_sides_and_new_connections_pass() {
        crate::run(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (relay, mut near, mut far) = connected_to(&listener).await;
            relay.cut();
            assert!(near.read_u8().await.is_err());
            assert!(far.read_u8().await.is_err());
            let mut again = TcpStream::connect(relay.address()).await.unwrap();
            again.write_all(b"x").await.unwrap();
            let (mut far, _) = listener.accept().await.unwrap();
            assert_eq!(far.read_u8().await.unwrap(), b'x');
        });
    }

    #[test]
    fn half_open_only_one_side_learns_that_the_other_is_gone() {
        crate::run(async {
            let (relay, mut near, mut far) = connected().await;
            relay.set(Weather::NearHangs);
            assert!(far.read_u8().await.is_err());
            near.write_all(b"into the void").await.unwrap();
            assert!(timeout(MOMENT, near.read_u8()).await.is_err());
            relay.set(Weather::Clear);
            assert!(near.read_u8().await.is_err());

            let (relay, mut near, mut far) = connected().await;
            relay.set(Weather::FarHangs);
            assert!(near.read_u8().await.is_err());
            assert!(timeout(MOMENT, far.read_u8()).await.is_err());
            relay.set(Weather::Clear);
            assert!(far.read_u8().await.is_err());
        });
    }
}
