//! FLV tag bodies, which are RTMP message payloads: to frames and back. FLV exists only at the edges.
