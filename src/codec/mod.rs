//! Page codecs: compressed bytes → page bytes.
