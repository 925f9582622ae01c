//! The engine behind the socket.
