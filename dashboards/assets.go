package dashboards

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

// packedFile is an asset as it goes over the wire.
type packedFile struct {
	mediaType, etag string
	plain, gzipped  []byte
}

// packed serves the assets, compressed once at start. A broken asset is a fault
// of the build and shows as a missing file.
func packed(files fs.FS) http.Handler {
	known := map[string]packedFile{}
	_ = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		file, err := pack(files, name)
		if err == nil {
			known[name] = file
		}
		return err
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file, ok := known[strings.TrimPrefix(r.URL.Path, "/")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		h := w.Header()
		h.Set("Cache-Control", "public, max-age=300")
		h.Set("ETag", file.etag)
		h.Set("Vary", "Accept-Encoding")
		h.Set("Content-Type", file.mediaType)
		if strings.Contains(r.Header.Get("If-None-Match"), file.etag) {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		body := file.plain
		if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			h.Set("Content-Encoding", "gzip")
			body = file.gzipped
		}
		w.Write(body)
	})
}

func pack(files fs.FS, name string) (packedFile, error) {
	plain, err := fs.ReadFile(files, name)
	if err != nil {
		return packedFile{}, fmt.Errorf("read the asset %s: %w", name, err)
	}
	var buf bytes.Buffer
	w, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return packedFile{}, err
	}
	if _, err := w.Write(plain); err != nil {
		return packedFile{}, err
	}
	if err := w.Close(); err != nil {
		return packedFile{}, err
	}
	sum := sha256.Sum256(plain)
	mediaType := mime.TypeByExtension(path.Ext(name))
	switch path.Ext(name) { // the machine's own list of types may lack these
	case ".css":
		mediaType = "text/css; charset=utf-8"
	case ".js":
		mediaType = "text/javascript; charset=utf-8"
	case ".svg":
		mediaType = "image/svg+xml"
	case "":
		mediaType = "text/plain; charset=utf-8"
	}
	return packedFile{mediaType: mediaType, etag: `"` + hex.EncodeToString(sum[:8]) + `"`, plain: plain, gzipped: buf.Bytes()}, nil
}
