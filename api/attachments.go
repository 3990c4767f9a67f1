package api

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/thirdstate/thirdstate/internal/postgres"
	"github.com/thirdstate/thirdstate/internal/problem"
	"github.com/thirdstate/thirdstate/maintenance"
)

// maxForm is a photo with the form around it.
const maxForm = maxPhoto + 64<<10

func attachments(s *Server) {
	upload := route{ID: "add-attachment", Method: http.MethodPost, Path: "/attachments", Roles: reporters, Status: http.StatusCreated, Body: maxForm,
		EN: "Attach a photo, as it is or in a form", ZH: "上传照片"}
	add(s, upload, s.addAttachment)
	add(s, route{ID: "get-attachment", Method: http.MethodGet, Path: "/attachments/{id}", Roles: everyone, EN: "The photo itself", ZH: "查看照片"}, s.getAttachment)

	picture := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString, Format: "binary"}}
	form := &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeObject, Required: []string{"photo"},
		Properties: map[string]*huma.Schema{"photo": {Type: huma.TypeString, Format: "binary"}}}}
	operationAt(s.api.OpenAPI(), upload.Method, prefix+upload.Path).RequestBody.Content = map[string]*huma.MediaType{
		"image/jpeg": picture, "image/png": picture, "multipart/form-data": form,
	}
}

type upload struct {
	Entity      string    `query:"entity" required:"true" enum:"case,work_order,checklist_item,machine,reading" doc:"what the photo belongs to"`
	EntityID    uuid.UUID `query:"entityId" required:"true"`
	Name        string    `query:"name" maxLength:"200" doc:"of the file; a form names it itself"`
	ContentType string    `header:"Content-Type" maxLength:"256"`
	RawBody     []byte    `contentType:"image/jpeg"`
}

func (s *Server) addAttachment(ctx context.Context, in *upload) (*Answer[maintenance.Attachment], error) {
	name, picture, err := in.picture(ctx)
	if err != nil {
		return nil, err
	}
	a, err := write(ctx, s, func(a act) (maintenance.Attachment, error) {
		return maintenance.Attach(ctx, a.tx, a.now, a.who, in.Entity, in.EntityID, name, "", picture) // the bytes say what it is
	})
	return answered(a, 0, err)
}

// picture takes the photo out of its form, or the body for what it is.
func (in *upload) picture(ctx context.Context) (name string, picture []byte, err error) {
	kind, params, err := mime.ParseMediaType(in.ContentType)
	if err != nil {
		kind = ""
	}
	switch kind {
	case "image/jpeg", "image/png":
		name, picture = in.Name, in.RawBody
	case "multipart/form-data":
		if name, picture, err = formFile(in.RawBody, params["boundary"]); err != nil {
			return "", nil, err
		}
	default:
		return "", nil, newProblem(ctx, badMedia, "the body must be image/jpeg, image/png or multipart/form-data")
	}
	if len(picture) > maxPhoto {
		return "", nil, problem.New(problem.TooLarge, "a photo has 15 MiB at most")
	}
	return name, picture, nil
}

// maxParts bounds what is looked through for a file.
const maxParts = 10

func formFile(body []byte, boundary string) (name string, content []byte, err error) {
	missing := problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/photo", Detail: "the form has no file"})
	if boundary == "" {
		return "", nil, missing
	}
	form := multipart.NewReader(bytes.NewReader(body), boundary)
	for range maxParts {
		part, err := form.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", nil, problem.New(problem.Invalid, "the form could not be read to its end")
		}
		if part.FileName() == "" {
			continue
		}
		content, err := io.ReadAll(io.LimitReader(part, maxPhoto+1))
		if err != nil {
			return "", nil, problem.New(problem.Invalid, "the form could not be read to its end")
		}
		if fault := badText(part.FileName(), "body"); fault != nil || len(part.FileName()) > 200 {
			return "", nil, problem.New(problem.Invalid, "see errors").WithFields(problem.Field{Pointer: "/photo", Detail: "the file's name is too long or no text"})
		}
		return part.FileName(), content, nil
	}
	return "", nil, missing
}

// Picture is a photo as it was uploaded.
type Picture struct {
	ContentType string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

func (s *Server) getAttachment(ctx context.Context, in *ByID) (*Picture, error) {
	a, err := read(ctx, s, func(db postgres.DB) (maintenance.Attachment, error) {
		return maintenance.ReadAttachment(ctx, db, in.ID)
	})
	if err != nil {
		return nil, err
	}
	return &Picture{ContentType: a.MediaType, Disposition: "inline", Body: a.Bytes}, nil
}
