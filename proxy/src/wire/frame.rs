//! Cutting one exact frame from a buffer, under a cap.
//!
//! Must never wait for more than the cap allows. Used on both sides of a session.

use bytes::{Buf, BytesMut};
use thiserror::Error;

/// Kind byte and length.
pub const HEADER_BYTES: usize = 5;

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A length under 4.
    #[error("invalid message length {0}")]
    Short(u32),
    /// A length over the cap of this phase.
    #[error("a message of {0} bytes is over the limit of {1}")]
    Long(u32, usize),
}

/// One whole frame: its kind and its body without header.
#[derive(Debug)]
pub struct Frame {
    /// Kind byte.
    pub kind: u8,
    /// What follows the length.
    pub body: BytesMut,
}

/// Kind and total bytes (header included) of the frame that starts here, once its header is there.
///
/// # Errors
/// [`FrameError::Short`] for a length no frame can have.
pub fn header(buffer: &[u8]) -> Result<Option<(u8, usize)>, FrameError> {
    let Some((&[kind, a, b, c, d], _)) = buffer.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let length = u32::from_be_bytes([a, b, c, d]);
    if length < 4 {
        return Err(FrameError::Short(length));
    }
    Ok(Some((kind, 1 + length as usize)))
}

/// Kind and total bytes (header included) of the frame that starts here, `None` when it is not whole yet.
///
/// # Errors
/// [`FrameError`]; the connection cannot be trusted to be in step any more.
pub fn whole(buffer: &[u8], bytes_max: usize) -> Result<Option<(u8, usize)>, FrameError> {
    let Some((kind, total)) = header(buffer)? else { return Ok(None) };
    if total > bytes_max {
        return Err(FrameError::Long(u32::try_from(total - 1).unwrap_or(u32::MAX), bytes_max));
    }
    Ok((buffer.len() >= total).then_some((kind, total)))
}

/// Cuts the next frame, `None` when it is not whole yet.
///
/// # Errors
/// As of [`whole`].
pub fn cut(buffer: &mut BytesMut, bytes_max: usize) -> Result<Option<Frame>, FrameError> {
    let Some((kind, total)) = whole(buffer, bytes_max)? else { return Ok(None) };
    let mut body = buffer.split_to(total);
    body.advance(HEADER_BYTES);
    Ok(Some(Frame { kind, body }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_cut_exactly() {
        let mut buffer = BytesMut::from(&b"Q\0\0\0\x05aX\0\0\0\x04Q\0\0"[..]);
        let first = cut(&mut buffer, 100).expect("valid").expect("whole");
        assert_eq!((first.kind, &first.body[..]), (b'Q', &b"a"[..]));
        let second = cut(&mut buffer, 100).expect("valid").expect("whole");
        assert_eq!((second.kind, second.body.len()), (b'X', 0));
        assert!(cut(&mut buffer, 100).expect("valid").is_none());
        assert_eq!(buffer.len(), 3);
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_at_once() {
        for (bytes, error) in [
            (&b"Q\0\0\0\x03"[..], FrameError::Short(3)),
            (&b"Q\0\0\0\0"[..], FrameError::Short(0)),
            (&b"Q\x40\0\0\0"[..], FrameError::Long(0x4000_0000, 100)),
            (&b"Q\xff\xff\xff\xff"[..], FrameError::Long(u32::MAX, 100)),
        ] {
            assert_eq!(cut(&mut BytesMut::from(bytes), 100).map(|f| f.is_some()), Err(error));
        }
    }
}
