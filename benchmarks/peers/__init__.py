"""Other libraries and models, each fitted by one function, that cmlfast is compared with."""
