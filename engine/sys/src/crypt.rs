//! crypt(3): what the system's library makes of a password by the rules that a hash names.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

// The library of crypt(3), which is not part of the C library.
#[link(name = "crypt")]
unsafe extern "C" {
    /// Takes the password, the rules (a hash made by them will do), a pointer to memory of malloc(3) or null, and how
    /// much that is; it makes more of it if it must. Returns a string in that memory, or null.
    fn crypt_ra(
        phrase: *const c_char,
        setting: *const c_char,
        data: *mut *mut c_void,
        size: *mut c_int,
    ) -> *const c_char;
}

/// What becomes of a password by the rules of this hash; `None` if there are no such rules, or if the password cannot be
/// one of a C program's. It may take long, and may run in several threads at once. No copy of the password is left.
pub fn crypt(password: &[u8], hash: &str) -> Option<String> {
    if password.contains(&0) {
        return None;
    }
    let hash = CString::new(hash).ok()?;
    let mut phrase = [password, &[0]].concat();
    let mut data: *mut c_void = ptr::null_mut();
    let mut size: c_int = 0;
    // SAFETY: both strings end with a NUL and live over the call; `data` is null with a size of 0, so that the library
    // allocates what it needs, for this call alone, and stores where and how much.
    let made = unsafe { crypt_ra(phrase.as_ptr().cast(), hash.as_ptr(), &mut data, &mut size) };
    let text = if made.is_null() {
        None
    } else {
        // SAFETY: a result that is not null is a string with a NUL in `data`, which is freed below.
        unsafe { CStr::from_ptr(made) }.to_str().ok().map(str::to_owned)
    };
    // SAFETY: the vector's own bytes.
    unsafe { libc::explicit_bzero(phrase.as_mut_ptr().cast(), phrase.len()) };
    // SAFETY: `data` is null or memory of malloc(3) that the library gave to us, `size` bytes of it, and no longer
    // referred to.
    unsafe {
        if !data.is_null() {
            libc::explicit_bzero(data, usize::try_from(size).unwrap_or(0));
        }
        libc::free(data);
    }
    // The library marks what failed with a star, which no hash begins with.
    text.filter(|text| !text.starts_with('*'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_its_families_are_made_anew() {
        for hash in [
            "rqXexS6ZhobKA",
            "$1$saltsalt$qjXMvbEw8oaL.CzflDtaK/",
            "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8",
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjlO/O817G3uBnIFNjnQJuesI68OTLiBFdcbYEdFCoEOfaS35inz1",
            "$2y$04$abcdefghijklmnopqrstuuWhDRkJQ6rmqhFPSN0nOaRS8FHwzUWTi",
        ] {
            // What was made of a password is the rule by which it is made again.
            let made = crypt("pässword".as_bytes(), hash).unwrap_or_else(|| panic!("{hash}"));
            assert_eq!(crypt("pässword".as_bytes(), &made), Some(made.clone()), "{hash}");
            assert_ne!(crypt(b"other", &made), Some(made));
        }
        assert_eq!(crypt(b"password", "rqXexS6ZhobKA").as_deref().map(|made| &made[..2]), Some("rq"));
    }

    #[test]
    fn what_is_no_hash_or_no_password_is_none() {
        assert_eq!(crypt(b"password", "$unknown$hash"), None);
        assert_eq!(crypt(b"password", ""), None);
        assert_eq!(crypt(b"pass\0word", "rqXexS6ZhobKA"), None);
        assert_eq!(crypt(b"password", "rq\0"), None);
    }
}
