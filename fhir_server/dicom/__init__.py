"""DICOM files and PACS linked in: one ImagingStudy for each Study Instance UID.

read_header(file)            the header of a DICOM file as an Instance, or Unlinkable with a reason  (headers.py)
link(hub, instances)         ImagingStudies, Patients made or extended by Instances                  (link.py)
link_files(hub, paths)       both of these for files of a folder                                     (link.py)
router(hub, authenticate)    POST /dicom/instances                                                   (routes.py)
"""
