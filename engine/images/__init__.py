"""Images on the disk: names, blobs, layers, archives and configurations.

Vocabulary (OCI image and distribution specifications): a *reference* names an image
(``docker.io/library/base:latest``); a *digest* is ``sha256:<hex>`` over exact bytes; a *blob* is a file of the content
store, kept as received under its digest; a *layer* is a tar of changes; its *diff ID* is the digest of the
uncompressed tar, its *chain ID* the digest that names it on top of all layers below; a *whiteout* is an entry
``.wh.<name>`` that deletes a name of the layers below, an *opaque* folder hides all of them. On the disk both take
overlay's form: a character device 0:0 and the extended attribute ``trusted.overlay.opaque`` (``user.`` in the user
namespace of an ordinary user's engine).

Services and the spawner's workers may import this package; it imports the domain's errors and the kernel.
"""
