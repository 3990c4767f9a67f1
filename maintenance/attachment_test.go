package maintenance

import (
	"bytes"
	"context"
	"image"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
)

func pictureBytes(t *testing.T, media string) []byte {
	t.Helper()
	var b bytes.Buffer
	err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 4, 4)))
	if media == "image/jpeg" {
		b.Reset()
		err = jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 4, 4)), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestAttach_KeepsPicturesAndNothingElse(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	c := s.found(t, s.a.Machine, morning)
	for name, tc := range map[string]struct {
		entity, media string
		content       []byte
		want          problem.Kind
		is            string
	}{
		"png":                  {"case", "", pictureBytes(t, "image/png"), "", "image/png"},
		"jpeg":                 {"case", "image/jpeg", pictureBytes(t, "image/jpeg"), "", "image/jpeg"},
		"a lie":                {"case", "image/png", pictureBytes(t, "image/jpeg"), problem.Invalid, ""},
		"a page":               {"case", "", []byte("<html><script>alert(1)</script>"), problem.Invalid, ""},
		"a drawing":            {"case", "", []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), problem.Invalid, ""},
		"a head without a png": {"case", "", []byte("\x89PNG\r\n\x1a\nnothing"), problem.Invalid, ""},
		"nothing":              {"case", "", nil, problem.Invalid, ""},
		"too large":            {"case", "", append(pictureBytes(t, "image/png"), make([]byte, largestAttachment)...), problem.TooLarge, ""},
		"of nothing":           {"work_order", "", pictureBytes(t, "image/png"), problem.NotFound, ""},
		"of a password":        {"app_user", "", pictureBytes(t, "image/png"), problem.Invalid, ""},
	} {
		a, err := once(t, s, s.agent, func(ctx context.Context, tx pgx.Tx) (Attachment, error) {
			return Attach(ctx, tx, morning, s.agent, tc.entity, c.ID, `..\..\etc/pass`+"\x00\n"+`wd.png`, tc.media, tc.content)
		})
		if tc.want != "" {
			if problem.Of(err) != tc.want {
				t.Errorf("%s: %v, want %s", name, err, tc.want)
			}
			continue
		}
		if err != nil || a.MediaType != tc.is || strings.ContainsAny(a.Name, "/\\\x00\n") {
			t.Errorf("%s: %q %q %v", name, a.MediaType, a.Name, err)
			continue
		}
		read := must[Attachment](t)(once(t, s, s.a.who, func(ctx context.Context, tx pgx.Tx) (Attachment, error) { return ReadAttachment(ctx, tx, a.ID) }))
		if !bytes.Equal(read.Bytes, tc.content) {
			t.Errorf("%s: something was taken out of the picture", name)
		}
		_, err = once(t, s, s.b.who, func(ctx context.Context, tx pgx.Tx) (Attachment, error) { return ReadAttachment(ctx, tx, a.ID) })
		wantProblem(t, err, problem.NotFound)
	}
	_, err := once(t, s, s.b.who, func(ctx context.Context, tx pgx.Tx) (Attachment, error) {
		return Attach(ctx, tx, morning, s.b.who, "case", c.ID, "x.png", "", pictureBytes(t, "image/png"))
	})
	wantProblem(t, err, problem.NotFound)
	_, err = once(t, s, s.agent, func(ctx context.Context, tx pgx.Tx) (Attachment, error) {
		return ReadAttachment(ctx, tx, postgres.NewID())
	})
	wantProblem(t, err, problem.NotFound)
}
