#!/usr/bin/env bash
# FFmpeg 9.0.2 (wheel imageio-ffmpeg 0.8.1 on PyPI), and 7.0.2 (0.6.0): a second `onMetaData` in an FLV becomes a subtitle stream.
#
# Input: an FLV with pictures and sound that has the same `onMetaData` again at 2 s, as servers send it when a stream's size changes or
# another encoder goes on.
# Guessed: the values are read, or nothing happens: it is a script tag by the name of the one at the beginning.
# Seen: `Stream #0:2: Subtitle: text`. A copy to Matroska, which takes one subtitle stream without being asked, gets a SubRip track of one
# line. The same tag with the time stamp 0, in the same place, makes no stream.
# Hurts: whoever sends metadata at a change in mid stream over RTMP: ffmpeg and mpv announce subtitles, and recordings have an empty track.
#
# Fails if that changes. Needs python3 with venv, and the package registry.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Puts the metadata in again before the first tag from 2 s on, with the time stamp that is asked for.
cat >again.py <<'PYTHON'
import sys

source, target, stamp = sys.argv[1], sys.argv[2], int(sys.argv[3])
data = open(source, "rb").read()
tags, at = [], 13
while at < len(data):
    size = int.from_bytes(data[at + 1:at + 4], "big")
    time = int.from_bytes(data[at + 4:at + 7], "big") | data[at + 7] << 24
    tags.append((data[at], time, data[at + 11:at + 11 + size]))
    at += 11 + size + 4
index = next(number for number, (_, time, _) in enumerate(tags) if time >= 2000)
tags.insert(index, (18, stamp, next(body for kind, _, body in tags if kind == 18)))
with open(target, "wb") as out:
    out.write(data[:13])
    for kind, time, body in tags:
        out.write(bytes([kind]) + len(body).to_bytes(3, "big") + (time & 0xFFFFFF).to_bytes(3, "big"))
        out.write(bytes([time >> 24, 0, 0, 0]) + body + (11 + len(body)).to_bytes(4, "big"))
PYTHON

wrong=0
for wheel in 0.6.0 0.8.1; do
  python3 -m venv "$wheel"
  "$wheel/bin/pip" install --quiet --disable-pip-version-check "imageio-ffmpeg==$wheel"
  ffmpeg=$("$wheel/bin/python" -c 'import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())')
  version=$("$ffmpeg" -version | sed -n '1s/^ffmpeg version \([^ ]*\).*/\1/p')
  "$ffmpeg" -hide_banner -loglevel error -y -f lavfi -i testsrc=size=160x120:rate=10 -f lavfi -i sine -t 4 \
    -c:v libx264 -pix_fmt yuv420p -g 10 -c:a aac once.flv
  python3 again.py once.flv later.flv 2000
  python3 again.py once.flv zero.flv 0
  for file in once later zero; do
    "$ffmpeg" -hide_banner -loglevel error -y -i "$file.flv" -c copy "$file.mkv"
    for kind in flv mkv; do
      found=$({ "$ffmpeg" -hide_banner -i "$file.$kind" 2>&1 || true; } | grep -c 'Subtitle:' || true)
      echo "FFmpeg $version: $file.$kind has $found subtitle streams"
      [ "$found" = "$([ "$file" = later ] && echo 1 || echo 0)" ] || wrong=1
    done
  done
done
[ "$wrong" = 0 ] || { echo "this has changed"; exit 1; }
echo "as written"
