// Package s3 keeps a store's objects in a bucket of Amazon S3 or of a server that speaks its protocol.
//
// The object "packs/ab/cd" has the key prefix/packs/ab/cd. A Put with PutOptions.IfAbsent is a request with If-None-Match: *, which the server decides in one step; a server that
// does not know that header is told apart by a probe, and then holds one writer at a time. Objects of more than two parts are uploaded in parts, several at once. Uploads carry a
// checksum that the server verifies, and reads of whole objects that were not uploaded in parts are verified against the one that it kept.
//
// Requests are repeated by the SDK's own retryer, so package retry is not put around this store. A reader whose connection breaks goes on where it stood, of the same object. When a
// create was repeated because its reply was lost, what is stored decides whether it was this one's.
//
// Credentials, region, a bundle of certificates and the like come from where the SDK looks for them: the environment, the shared configuration, SSO, web identity, the instance.
package s3
